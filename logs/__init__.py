"""Packs of tuning records that come with Luthier; see README.md."""
