"""A pump commanded by pulses heats the house as one behind a relay does, and rests when it is told to."""

from __future__ import annotations

import pytest

from firmware.substation import order_frame

from .bench.station import Bench


@pytest.mark.parametrize("profile", ["heating", "solar"])
def test_the_pump_turns_and_rests_by_its_duty(bench: Bench, profile: str) -> None:
    bench.plant.outdoor_temp_c = 8.0  # no frost, which would keep it turning
    house = bench.start_controller(pump_pwm={"profile": profile, "speed_pct": 80})
    bench.run_for(1_800)
    assert house.read("control_mode_number") == 0  # no safe start
    assert house.read("secondary_pump_out_number") == 1
    warm = house.read("secondary_return_temp_c")
    bench.press_button(house)
    bench.run_for(4)
    bench.press_button(house, down=False)
    receipt = house.order(manual_pump_pct=0.0, lease_s=0, slot=order_frame.TECHNICIAN)
    assert receipt.result == order_frame.ACCEPTED
    bench.run_for(1_200)
    assert house.read("secondary_pump_out_number") == 0
    # what stood still in the radiators has cooled: no water comes round, whichever end of the duty says stop
    assert house.read("secondary_return_temp_c") < warm - 1.0
