"""Which values there are."""
