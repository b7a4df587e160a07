"""Loops of decoding, as ONNX Runtime's tools write them around a decoder: spelled by ``Loop``."""
