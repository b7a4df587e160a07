"""Depthwise convolution and pooling: each channel by itself."""
