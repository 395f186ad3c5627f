"""What the town as a whole should do: pressure at the index consumer, and fair shares of the flow."""

from .coordinator import ADVISORY, AUTOMATIC, MODES, OFF, Coordinator, Explanation
from .pressure import Step, next_dp
from .town_model import Shares, TownModel

__all__ = [
    "ADVISORY",
    "AUTOMATIC",
    "MODES",
    "OFF",
    "Coordinator",
    "Explanation",
    "Shares",
    "Step",
    "TownModel",
    "next_dp",
]
