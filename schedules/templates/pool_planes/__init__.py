"""Pools of images of one channel."""
