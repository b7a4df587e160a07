"""Records of what was measured: kept, shared, and which of them counts."""
