"""C sources: the runtime linked into every artifact."""
