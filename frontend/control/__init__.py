"""Control flow of ONNX: a model is cut at it, and its parts become the regions of one program."""
