"""Tuning a model: its kernels measured, the finalists judged inside it, and why winners won."""
