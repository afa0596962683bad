"""What this project does beside what a person would use instead: one table, `make bench`."""
