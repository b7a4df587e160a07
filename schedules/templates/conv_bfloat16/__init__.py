"""Convolutions of bfloat16 with sums in float32."""
