"""What the controller does, as tables: ranks of every actuator, fallbacks of every sensor.

This is the one place. docs/firmware.md is made of it, and tests hold it against the code: every rank against
the methods that the loops call, every fallback by losing its sensor. No part of the bundle: text is heap.
"""

from .substation.fallbacks import DP_LOST_SPEED_BP, OUTDOOR_LOST_SUPPLY_MC, SUPPLY_LOST_POSITION_BP
from .substation.precedence import DHW_VALVE, HEATING_VALVE, PLANT_PUMP, PUMP

HARDWARE = "hardware safety"
SAFETY = "software safety"
MANUAL = "manual at the device"
LIMITER = "limiters"
DHW = "DHW/legionella"
LEASE = "lease"
SCHEDULE = "schedule and curve"

# (actuator, class with the methods, its ranks, {rank: (class of the project's common order, what it does)})
RANKS = (
    ("Valve of a heating circuit", "heating_circuit.HeatingCircuit", HEATING_VALVE, {
        "over_maximum": (SAFETY, "Supply 5 K above its maximum: close"),
        "pump_stands": (SAFETY, "The pump says for 30 s that it does not turn: closed, in frost 5 %"),
        "supply_lost": (SAFETY, "Supply sensor lost: the fallback position"),
        "frost": (SAFETY, "Frost protection: the supply controller alone, every limiter off"),
        "manual": (MANUAL, "Put by hand, once the end stop is sure; the controllers follow, so it goes back without a bump"),
        "exercise": (SCHEDULE, "After a week at rest without heat demand: 5 % open for a minute"),
        "no_heat": (SCHEDULE, "No heat wanted (season, room too warm) and none ordered: closed"),
        "end_stop": (SAFETY, "Power has just come back: closed until the end stop is sure, and up to 200 s longer by device id"),
        "controlled": (LIMITER, "The smallest of supply controller, limiters and the priority of DHW"),
    }),
    ("Valve of the DHW", "dhw.Dhw", DHW_VALVE, {
        "scald": (SAFETY, "DHW, or the charging line, above the scald limit: close"),
        "lost": (SAFETY, "Sensor lost without which nothing can be judged: close"),
        "end_stop": (SAFETY, "Power has just come back: closed until the end stop is sure"),
        "manual": (MANUAL, "Put by hand; heating owes DHW nothing meanwhile, the charging pump rests"),
        "no_demand": (DHW, "Nothing drawn, or the tank hot: closed, or exchanger and service pipe kept warm"),
        "controlled": (LIMITER, "The smallest of the DHW controller and every limiter of the site's own"),
    }),
    ("Pumps of circuits, charging and circulation", "pump.Pump", PUMP, {
        "demand": (DHW, "Frost; by hand on, or off; heat wanted, charging, legionella, circulation by its schedule: on"),
        "afterrun": (SCHEDULE, "Two minutes more"),
        "exercise": (SCHEDULE, "A minute after a day at rest, spread over a town by device id"),
    }),
    ("Pumps of a pump station", "pump_station.PumpStation", PLANT_PUMP, {
        "dry": (HARDWARE, "Suction pressure below the dry-run limit for 10 s: stop until it is back"),
        "cavitation": (SAFETY, "Suction pressure below its minimum: the speed gives way"),
        "dp_lost": (SAFETY, "Pressure sensor lost: the speed it had, at least the fallback's"),
        "manual": (MANUAL, "The speed put by hand, 0 stops"),
        "least_flow": (LIMITER, "Less flow than the heat source needs: the speed rises"),
        "controlled": (LEASE, "The pressure ordered, or the own one with what the index consumer adds"),
    }),
)  # fmt: skip

# What a heating circuit follows, the last word first.
SETPOINT = (
    (SAFETY, "Never below the frost temperature of the supply"),
    (LIMITER, "Never outside the engineering limits of the supply"),
    (DHW, "Less by the set-back while DHW takes heat, where that is its priority"),
    (LEASE, "The supply temperature ordered (first circuit)"),
    (LEASE, "The shift ordered (both circuits), within the owner's comfort band"),
    (SCHEDULE, "Room influence and adaptation, each within its bound"),
    (SCHEDULE, "Set-back outside comfort periods, but not without the time or near frost"),
    (SCHEDULE, "The own curve by outdoor temperature; without it the fallback's supply"),
)  # fmt: skip

OURS = "ours"
SAMSON = "Samson TROVIS 557x [firmware.md R19]"

# Every loss sets the alarm sensor_lost and the input's bit in sensor_fault_bits after 3 bad samples (6 s); the
# sensor is trusted again after 5 good ones (10 s), and what it decided is taken up without a bump.
# profile, input, reaction, source
FALLBACKS = (
    ("substation", "outdoor_temp_c", "Supply at %d degC, the pump runs" % (OUTDOOR_LOST_SUPPLY_MC // 1000), SAMSON),
    ("substation", "secondary_supply_temp_c", "Valve to %d %%, the pump runs; in summer shut" % (SUPPLY_LOST_POSITION_BP // 100), SAMSON),
    ("substation", "primary_return_temp_c", "Return limit off", SAMSON + ", Siemens RVL481 4.4.2"),
    ("substation", "primary_flow_m3_h", "Flow limit off: heat before tariff; heat not counted", OURS),
    ("substation", "primary_supply_temp_c", "Heat limits off; heat not counted; DHW reckons with 70 degC", OURS),
    ("substation", "secondary_return_temp_c", "Frost watched by the supply sensor alone", OURS),
    ("substation", "room_temp_c", "Room influence off, the curve goes on", "Siemens RVL471 4.1.2"),
    ("substation", "primary_dp_bar", "Low-dp alarm off; DHW reckons with 1 bar", OURS),
    ("substation", "secondary2_supply_temp_c", "As secondary_supply_temp_c, for the second valve", SAMSON),
    ("substation", "secondary2_return_temp_c", "Frost watched by the supply sensor alone", OURS),
    ("substation", "room2_temp_c", "Room influence off, the curve goes on", "Siemens RVL471 4.1.2"),
    ("substation", "dhw_supply_temp_c", "DHW valve shut, charging pump off", "Siemens RVL481 4.6.2"),
    ("substation", "dhw_tank_top_temp_c", "The bottom alone; both lost: no charging", "Siemens RVL471 4.7"),
    ("substation", "dhw_tank_bottom_temp_c", "The top alone; both lost: no charging", "Siemens RVL471 4.7"),
    ("substation", "dhw_circulation_temp_c", "Legionella are judged without it", OURS),
    ("substation", "dhw_flow_m3_h", "No feed-forward: the temperature alone", OURS),
    ("pump_station", "index_dp_bar", "The own differential pressure of the plant", OURS),
    ("pump_station", "suction_pressure_bar", "Cavitation and dry-run protection off", OURS),
    ("pump_station", "plant_dp_bar", "The speed it had, at least %d %%" % (DP_LOST_SPEED_BP // 100), OURS),
    ("pump_station", "outdoor_temp_c", "The own curve at 0 degC", "Siemens RVL481 4.3.2"),
    ("pump_station", "plant_supply_temp_c", "Nothing: the heat source holds its own; heat not counted", OURS),
    ("pump_station", "plant_return_temp_c", "Nothing in the loop; heat not counted", OURS),
    ("pump_station", "plant_flow_m3_h", "Nothing in the loop; heat not counted", OURS),
)  # fmt: skip

STANDARD = "EN 13757-3"
# Bit of a heat meter's status, when it is set, whether the flow limit still goes by this meter, source. Where it does
# not, the limit goes by the flow sensor; without one it is off, and heat is not counted: heat before tariff. A
# lost meter's last values stay shown, with their age.
METER_FALLBACKS = (
    ("silent", "No answer to a question and two repetitions", False, "EN 13757-2; Samson 557x Err 9 [firmware.md R15]"),
    ("refused", "An answer with a wrong checksum, length, address or content, or of no heat meter", False, OURS),
    ("application", "The meter is busy, or reports an error of its application", False, STANDARD),
    ("power_low", "The meter's battery is low", True, STANDARD),
    ("permanent", "The meter reports a permanent error", False, STANDARD + "; Samson 557x Err 10 [firmware.md R15]"),
    ("temporary", "The meter reports a temporary error", False, STANDARD),
    ("error_flags", "The meter tells error flags (VIF FD 17)", True, STANDARD),
    ("contradicts_power", "Three times in a row power outside what class 2 allows for flow and temperatures", False,
     "EN 1434, MID annex VI [domain.md, hil.md A10]"),
    ("contradicts_sensors", "Three times in a row a temperature 5 K from the controller's own sensor", False, OURS),
    ("swapped", "Three times in a row supply and return the wrong way round", False, OURS),
    ("stuck", "The same numbers while the own supply sensor moved by 5 K, or 30 kWh, and three of its steps, without a count", False,
     "hil.md 2.2: frozen values"),
    ("negative_flow", "Flow backwards: mounted against its arrow", False, OURS),
    ("replaced", "Another number, or a smaller sum of energy than before, until a restart", True,
     "hil.md 2.2: counter wrap or replacement"),
)  # fmt: skip
