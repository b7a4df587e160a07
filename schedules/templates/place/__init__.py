"""Where along an axis the extreme is."""
