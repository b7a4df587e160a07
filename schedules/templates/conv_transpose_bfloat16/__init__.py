"""Transposed convolutions of bfloat16 that do not overlap, with sums in float32."""
