"""Operators that TVM's Relax computes."""
