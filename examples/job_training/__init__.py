"""What a job training was worth, by experiment and by survey."""
