"""Matrix products of whole numbers."""
