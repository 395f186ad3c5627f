"""A year of hourly outdoor temperature of one station, around and around.

Between two hours the temperature is interpolated linearly; after 31 December comes 1 January of the same
year. It refuses a file that is not a whole year.
"""

from __future__ import annotations

from pathlib import Path

from .weather import BadWeather

FILE = Path(__file__).parent / "try2010_12.csv"
SOURCE = (
    "test reference year TRY 2010, region 12 (Upper Rhine, lower Neckar; station Mannheim, WMO 10729, mean "
    "year of 1988-2007), Deutscher Wetterdienst, as shipped with demandlib 0.2.2 (MIT licence)"
)
HOURS = 8760
YEAR_S = HOURS * 3600


class YearWeather:
    """`hourly_c[0]` holds at 1:00 on 1 January, Central European Time."""

    def __init__(self, hourly_c: list[float]) -> None:
        if len(hourly_c) != HOURS:
            raise BadWeather(f"{len(hourly_c)} hourly values; a year has {HOURS}. Give a whole year")
        self.hourly_c = hourly_c

    @classmethod
    def read(cls, path: Path = FILE) -> YearWeather:
        """Read 365 rows of 24 values. Raises BadWeather and OSError."""
        values: list[float] = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.startswith("#") or not line.strip():
                continue
            try:
                values += [float(text) for text in line.split(",")]
            except ValueError as error:
                raise BadWeather(
                    f"{path.name}: line {number} cannot be read ({error}). It needs 24 temperatures"
                ) from None
        return cls(values)

    def outdoor_c(self, local_s: float) -> float:
        """Temperature at a second of the year, which may lie before its begin or after its end."""
        hour = local_s / 3600.0
        whole = int(hour // 1)
        share = hour - whole
        before, after = self.hourly_c[(whole - 1) % HOURS], self.hourly_c[whole % HOURS]
        return before + share * (after - before)
