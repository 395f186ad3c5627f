"""The emulated plant: network, exchangers, buildings, valves and sensors, all substations at once."""

from .single import SinglePlant, SinglePumpStation
from .town import BadTown, Town
from .town_plant import TownPlant
from .weather import BadWeather, Weather

__all__ = ["BadTown", "BadWeather", "SinglePlant", "SinglePumpStation", "Town", "TownPlant", "Weather"]
