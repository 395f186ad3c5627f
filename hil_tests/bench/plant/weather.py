"""Outdoor temperature over time, read from a file of hourly values.

Between two hours the temperature is interpolated linearly; before the first and after the last value it is
refused, because a town must not be judged on invented weather.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

JOINT_S = 6 * 3600.0  # over which a repetition of the weather is joined to its end


class BadWeather(ValueError):
    """A weather file that cannot be used, or a time it does not cover. Nothing was changed."""

    code = "bad-weather"


@dataclass(frozen=True)
class Weather:
    """Outdoor temperature at rising times, seconds after `start`."""

    start: datetime
    time_s: FloatArray
    temp_c: FloatArray

    @classmethod
    def constant(cls, temp_c: float, start: datetime | None = None) -> Weather:
        """The same temperature for a hundred years."""
        begin = start or datetime(2026, 1, 2, tzinfo=UTC)
        return cls(begin, np.array([0.0, 3.2e9]), np.array([temp_c, temp_c], dtype=np.float64))

    @classmethod
    def read(cls, path: Path) -> Weather:
        """Read columns `utc` (ISO 8601) and `outdoor_temp_c`. Raises BadWeather and OSError."""
        times: list[datetime] = []
        temps: list[float] = []
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            for number, row in enumerate(rows, start=1):
                try:
                    times.append(datetime.fromisoformat(row["utc"]))
                    temps.append(float(row["outdoor_temp_c"]))
                except (KeyError, TypeError, ValueError) as error:
                    raise BadWeather(
                        f"{path.name}: row {number} cannot be read ({error}). It needs a column utc "
                        "with a time like 2026-01-02T00:00:00+00:00 and a column outdoor_temp_c with a number"
                    ) from None
                if times[-1].tzinfo is None:
                    raise BadWeather(
                        f"{path.name}: row {number} has a time without its zone. Add +00:00 for UTC"
                    )
        if len(times) < 2:
            raise BadWeather(f"{path.name}: {len(times)} rows; two are the least to interpolate between")
        seconds = np.array([(t - times[0]) / timedelta(seconds=1) for t in times])
        if np.any(np.diff(seconds) <= 0.0):
            raise BadWeather(f"{path.name}: the times do not rise. Sort the rows and remove doubles")
        return cls(times[0], seconds, np.array(temps))

    def repeated(self, after_s: float, times: int) -> Weather:
        """This weather, then `times` more its part after `after_s`, joined by six hours of straight lines.

        For demonstrations that run on past the file; a week that is judged ends with it. Raises BadWeather.
        """
        part = self.time_s >= after_s + JOINT_S
        if not part.any():
            raise BadWeather(
                f"nothing is left {after_s + JOINT_S:.0f} s after the start. Repeat from an earlier time"
            )
        time, temp = [self.time_s], [self.temp_c]
        for number in range(1, times + 1):
            shift = number * (self.duration_s - after_s)
            time.append(self.time_s[part] + shift)
            temp.append(self.temp_c[part])
        return Weather(self.start, np.concatenate(time), np.concatenate(temp))

    @property
    def duration_s(self) -> float:
        """Time covered, s."""
        return float(self.time_s[-1])

    def outdoor_temp_c(self, time_s: float) -> float:
        """Temperature `time_s` seconds after the start, degC. Raises BadWeather outside the file."""
        if not 0.0 <= time_s <= self.time_s[-1]:
            raise BadWeather(
                f"{time_s:.0f} s after {self.start.isoformat()} lies outside the weather file, which covers "
                f"{self.time_s[-1]:.0f} s. Start within it or give a longer file"
            )
        return float(np.interp(time_s, self.time_s, self.temp_c))
