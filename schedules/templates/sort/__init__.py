"""The first of an order along an axis."""
