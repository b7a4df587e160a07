"""A 1x1 convolution of bfloat16 and the depthwise one of float32 after it."""
