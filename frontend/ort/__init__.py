"""Files of ONNX Runtime's own format, ``.ort``: what an ONNX model holds, in a FlatBuffer."""
