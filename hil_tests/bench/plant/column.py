"""Columns of a model that several hands hold: a number for each house, written in place, never replaced.

The models' plain arithmetic and the compiled kernel work on the same memory, and so do the faults that are
injected there. It refuses to let an assignment put another array in the place of one that is held.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


class Column:
    """An attribute that is one array for as long as its owner lives; `owner.name = value` writes into it."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, kind: type[Any] | None = None) -> FloatArray:
        array: FloatArray = owner.__dict__[self._name]
        return array

    def __set__(self, owner: Any, value: ArrayLike) -> None:
        held = owner.__dict__.get(self._name)
        if held is None:
            owner.__dict__[self._name] = np.array(value, dtype=np.float64)
        elif held is not value:  # what follows from `owner.name *= 2` is there already
            held[...] = value

    def move(self, owner: Any, place: FloatArray) -> None:
        """Keep the column in `place` from now on, with the values it has."""
        place[...] = owner.__dict__[self._name]
        owner.__dict__[self._name] = place
