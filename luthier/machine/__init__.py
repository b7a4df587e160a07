"""Machines: what they are, how fast they can be, and how much of that a library uses."""
