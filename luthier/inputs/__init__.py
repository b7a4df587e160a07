"""What a model is run on: arrays of files, or random ones that it can take."""
