"""Attention whose lanes are keys, then columns of the values."""
