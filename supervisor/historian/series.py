"""Thin a series of samples to what a screen can show without hiding a peak.

It refuses to interpolate: an empty stretch stays empty, and every returned extreme was really measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Samples or bins in time order; where nothing was thinned, the three values are the same."""

    utc_s: FloatArray
    minimum: FloatArray
    mean: FloatArray
    maximum: FloatArray

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter((self.utc_s, self.minimum, self.mean, self.maximum))


def thin(utc_s: FloatArray, values: FloatArray, start_s: float, end_s: float, max_points: int) -> Series:
    """Return at most max_points bins of equal length between start and end, empty ones left out.

    NaN (no valid reading) never enters a bin. Times are the mean times of a bin's samples.
    """
    valid = ~np.isnan(values)
    utc_s, values = utc_s[valid], values[valid]
    if len(values) <= max_points:
        return Series(utc_s, values, values, values)
    width = (end_s - start_s) / max_points
    bins = np.minimum(((utc_s - start_s) / width).astype(np.int64), max_points - 1)
    first = np.flatnonzero(np.diff(bins, prepend=-1))
    count = np.diff(np.append(first, len(values)))
    return Series(
        np.add.reduceat(utc_s, first) / count,
        np.minimum.reduceat(values, first),
        np.add.reduceat(values, first) / count,
        np.maximum.reduceat(values, first),
    )
