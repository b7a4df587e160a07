"""A model's library: built from the best records, tried on its sample, checked."""
