"""What a model is: algorithms, preprocessing, metrics and safe storage. No tools of its own."""
