"""What holds something open until it is closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

_T = TypeVar("_T", bound="Closing")


class Closing(ABC):
    """A context manager that closes at its end."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; harmless when repeated."""

    def __enter__(self: _T) -> _T:
        """Itself."""
        return self

    def __exit__(self, *ended: object) -> None:
        """Close."""
        self.close()
