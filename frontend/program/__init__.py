"""The program: what the frontend makes of a model; how one is checked and printed."""

from .core import Call, Part, Program, owner

__all__ = ["Call", "Part", "Program", "owner"]
