"""A pipe breaks in a running town: the operator is told of it in time, and told again when the pump stops.

That the pump stops before it runs dry is told by the scenario V-leak; here somebody has to hear of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .acceptance import limit
from .attended_town import AttendedTown, Operator
from .bench.controller import Controller
from .bench.suction import SuctionTransmitter
from .bench.suction import settings as suction_settings
from .leaks import WaterWatch

HOUSES = 2  # the plant's meter spans 500 m3/h and resolves hundredths: one house would be lost in it
SETTLED_S = 420
LOOK_EVERY_S = 20
QUIET = {"plant_low_dp", "dry_run", "water_lost"}


def alarms(operator: Operator) -> dict[str, dict[str, Any]]:
    """Return what the list holds of the plant's water, by kind."""
    listed = operator.get("alarms")["alarms"]
    return {alarm["kind"]: alarm for alarm in listed if alarm["kind"] in QUIET and alarm["active"]}


def wait_for(town: AttendedTown, operator: Operator, kind: str) -> None:
    """Run until the list has this alarm; the operator looks three times a minute."""
    clock = town.run.clock
    clock.run_until(
        lambda: clock.now_ms % (LOOK_EVERY_S * 1000) == 0 and kind in alarms(operator),
        within_s=60.0 * limit("leak-told"),
    )


@pytest.mark.slow
def test_the_operator_is_told_of_lost_water_and_of_a_pump_that_stopped(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    settings = {"plant": suction_settings(protected=True)}
    with AttendedTown(tmp_path, firmware_bundle, HOUSES, settings=settings) as town:
        clock, plant = town.run.clock, town.run.plant
        clock.adjust_inputs.append(
            SuctionTransmitter(clock.fleet, HOUSES, plant, seed=1, tick_s=clock.tick_ms / 1000.0)
        )
        operator = town.start()
        water = WaterWatch(plant, Controller(town.run.devices[-1], HOUSES))
        clock.run_for(SETTLED_S)
        assert alarms(operator) == {}

        water.begin(plant.plant_flow_kg_s)
        water.make_up(1.0)
        water.open("supply", 0.5)
        water.mark()
        clock.recorders.append(lambda c: water.look(c.tick_ms / 1000.0))
        began_s = clock.now_ms / 1000.0
        wait_for(town, operator, "water_lost")
        assert clock.now_ms / 1000.0 - began_s >= 600.0, "it is a difference of minutes, not a flicker"
        lost = water.figures()["lost_share"]
        assert lost is not None and lost >= limit("leak-active")
        told = alarms(operator)["water_lost"]
        assert set(alarms(operator)) == {"water_lost"}, "all is made up: nothing else has happened yet"
        assert (told["device"], told["state"], told["priority"]) == ("plant", "unacknowledged", 1)
        assert told["action"] and not told["action"].startswith("alarm.")
        assert told["respond_within_s"] > 0
        missing = told["values"]["missing_m3_h"] / told["values"]["sent_m3_h"]
        really = (plant.plant_flow_kg_s - plant.plant_back_flow_kg_s) / plant.plant_flow_kg_s
        assert missing == pytest.approx(really, abs=0.05)  # two meters of class 2, and that resolution

        # make-up ends: the pump is stopped, and the list says so as well
        water.make_up(0.0)
        water.open("return", 1.0)
        wait_for(town, operator, "dry_run")
        assert water.pump_state() == 2
        assert alarms(operator)["dry_run"]["action"]
