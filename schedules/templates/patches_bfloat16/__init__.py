"""Convolutions of few pixels as products of bfloat16."""
