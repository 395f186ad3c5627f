"""History of every point: recorded from `latest`, packed by the hour, read back thinned."""

from .historian import Historian
from .series import Series
from .store import HistoryState

__all__ = ["Historian", "HistoryState", "Series"]
