"""C sources: pictures in files into arrays of pixels."""
