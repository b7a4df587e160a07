"""Depthwise convolution and pooling: one channel beside another."""
