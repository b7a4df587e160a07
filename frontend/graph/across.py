"""What imports of a model at several sizes share, so that one program may do for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Across:
    """Places and weights that are others for other sizes are tables, or runs ``compute`` them.

    The dimensions that were met as ``moved`` are named by the node and the dimension: at some sizes
    they may be as they are, and are computed nevertheless. What was ``decided`` by how large
    something is, for the sizes of the first import, holds for all others.
    """

    compute: bool = False
    moved: set[tuple[str, int]] = field(default_factory=set)
    decided: dict[tuple[object, ...], bool] = field(default_factory=dict)
