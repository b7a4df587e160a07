"""Relax modules of TVM to the graph."""
