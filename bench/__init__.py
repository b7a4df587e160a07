"""Measurements of Luthier against other engines; see RESULTS.md."""
