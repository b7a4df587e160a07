"""A 1x1 convolution and the depthwise one after it."""
