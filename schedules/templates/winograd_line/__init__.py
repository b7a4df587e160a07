"""Winograd's convolution along one axis."""
