"""Measuring candidates: built on all cores, run and timed one after the other."""
