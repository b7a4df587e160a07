"""Boxes without those that overlap better ones."""
