"""What is done to images before a model's first layer, and to its outputs after the last."""
