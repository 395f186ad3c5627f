"""The supervisor polls and orders a house that answers to nothing but TLS, as far as its role goes.

Real files of `toplovod tls`, the shipped firmware in its VM, the supervisor in a process of its own. A
certificate is no order and no key: with a reader's the same supervisor, with the same keys, sees and moves
nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .attended_town import AttendedTown

HOUSE = "house-01"
POINT = "curve_shift_sp_k"
LEASE_S = 600


@pytest.mark.needs("clock.virtual")
def test_a_house_behind_tls_is_polled_and_ordered_by_the_role_of_the_certificate(
    tmp_path: Path, firmware_bundle: Path
) -> None:
    with AttendedTown(tmp_path, firmware_bundle, 1, behind_tls=(0,)) as town:
        operator = town.start()
        clock = town.run.clock
        with pytest.raises(OSError):
            town.houses[0].connect()  # there is no plain port

        def state(order: str) -> str:
            return str(operator.orders()[order]["state"])

        house = operator.get(f"substations/{HOUSE}")
        assert (house["link"], house["points"]["outdoor_temp_c"]["quality"]) == ("ok", "good")
        order = operator.order(HOUSE, POINT, -1.0, LEASE_S)["id"]
        clock.run_until(lambda: state(order) == "effective", within_s=120)
        assert operator.orders()[order]["proof"] in ("poll", "status_block")
        log = operator.get(f"substations/{HOUSE}/log")
        assert (log["whole"], log["genuine"]) == (True, True)

        town.supervisor.kill()
        clock.run_for(10)  # the clock misses it
        town.take_role("reader")
        operator = town.restart_supervisor()
        clock.run_until(lambda: town.supervisor.health().get("devices_live") == 2, within_s=120)
        refused = operator.order(HOUSE, POINT, -2.0, LEASE_S)["id"]
        clock.run_until(lambda: state(refused) not in ("executed", "sent"), within_s=60)
        assert (state(refused), operator.orders()[refused]["code"]) == ("refused", "device_refused_frame")
        clock.run_for(30)
        shown = operator.get(f"substations/{HOUSE}")["points"]["curve_shift_effective_k"]
        assert (shown["value"], shown["quality"]) == (-1.0, "good")
