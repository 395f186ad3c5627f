"""Makes the control loop of the site's profile, with the parts that this site has, and nothing else.

It refuses to stay: when the loop stands, it lets go of every constructor and of itself.
"""

import gc

from .let_go import let_go_of, let_go_of_constructors

# In the order that heat_meters shows them.
METER_POINTS = (
    "energy_kwh", "volume_m3", "flow_m3_h", "heat_kw", "supply_temp_c", "return_temp_c", "age_s",
    "status_bits", "number_code", "question_count",
)  # fmt: skip


def make_loop(parts):
    """Return the loop. parts: what `startup` has put together."""
    from .sensors import Sensors

    settings = parts.settings
    bank = parts.bank
    sensors = Sensors(parts.board, bank, settings.inputs, settings.damping)
    if settings.circuits:
        from .leases import expiry_delay_s
        from .supply_loop import SupplyLoop

        loop = SupplyLoop(
            parts.board, bank, settings, sensors, parts.influences, parts.deficit, parts.alarms,
            parts.persistence, expiry_delay_s(settings.device_id, False), parts.clock,
        )  # fmt: skip
        # the meters are made when all this has been let go of
        parts.sensors = sensors
        parts.meter_points = tuple(
            bank.point("meter%d_%s" % (number + 1, name))
            for number in range(len(settings.mbus_meters))
            for name in METER_POINTS
        )
    else:
        from .pump_station import PumpStation

        loop = PumpStation(
            parts.board, bank, settings, sensors, parts.influences, parts.alarms, parts.persistence
        )
    bank.forget_names()
    print(
        "%s: %s, boot %d, map %08x, firmware %08x"
        % (settings.name, settings.profile, parts.boots.count, parts.hashes[0], parts.hashes[1])
    )
    let_go_of_constructors()
    let_go_of("fallbacks", "precedence", "settings", "loop_maker", "let_go")
    gc.collect()
    return loop
