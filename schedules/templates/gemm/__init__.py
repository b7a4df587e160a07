"""Matrix products and 1x1 convolutions."""
