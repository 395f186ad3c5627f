"""What needs a person now: conditions in the town, their alarms, and what people did about them."""

from .annunciator import Alarm, Alarms
from .records import RECORDS, Record, records_of
from .states import ACKNOWLEDGED, NORMAL, RETURNED, SHELVED, UNACKNOWLEDGED, after

__all__ = [
    "ACKNOWLEDGED",
    "NORMAL",
    "RECORDS",
    "RETURNED",
    "SHELVED",
    "UNACKNOWLEDGED",
    "Alarm",
    "Alarms",
    "Record",
    "after",
    "records_of",
]
