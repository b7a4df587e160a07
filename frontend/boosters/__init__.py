"""Gradient boosting: models of XGBoost and LightGBM, read from what they save, as ONNX models."""
