"""The domain of ONNX Runtime's own operators."""

DOMAIN = "com.microsoft"
