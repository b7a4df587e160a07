"""Fused attention whose products are of bfloat16."""
