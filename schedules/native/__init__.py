"""C sources: the worker pool and the timing loop."""
