"""What is done when a sensor is lost: one row for each input, and the values of the fallbacks.

This is the one place. The loops take the numbers from here, docs/firmware.md is made of the rows, and
a test loses every sensor of both profiles. Every loss sets the alarm `sensor_lost` and the input's bit in
`sensor_fault_bits`, after 3 bad samples; the sensor is trusted again after 5 good ones.
"""

import sys

OUTDOOR_LOST_SUPPLY_MC = 50_000
SUPPLY_LOST_POSITION_BP = 3_000
PLANT_OUTDOOR_LOST_MC = 0
DP_LOST_SPEED_BP = 5_000

OURS = "ours"
SAMSON = "Samson TROVIS 557x [firmware.md R19]"

# profile, input, reaction, source. For people only: the controller drops them at once, text is heap.
ROWS = () if sys.implementation.name == "micropython" else (
    ("substation", "outdoor_temp_c", "Supply setpoint 50 degC, the pump runs", SAMSON),
    ("substation", "secondary_supply_temp_c", "Valve to 30 %, the pump runs", SAMSON),
    ("substation", "primary_return_temp_c", "Return limit off", SAMSON + ", Siemens RVL481 4.4.2"),
    ("substation", "primary_flow_m3_h", "Flow limit off: heat before tariff; heat not counted", OURS),
    ("substation", "primary_supply_temp_c", "Nothing in the loop; heat not counted", OURS),
    ("substation", "secondary_return_temp_c", "Frost watched by the supply sensor alone", OURS),
    ("substation", "room_temp_c", "Room influence off, the curve goes on", "Siemens RVL471 4.1.2"),
    ("substation", "primary_dp_bar", "Low-dp alarm off", OURS),
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
    ("pump_station", "plant_dp_bar", "Pump keeps its speed, at least 50 %", OURS),
    ("pump_station", "outdoor_temp_c", "The own curve at 0 degC", "Siemens RVL481 4.3.2"),
    ("pump_station", "plant_supply_temp_c", "Nothing: the heat source holds its own; heat not counted", OURS),
    ("pump_station", "plant_return_temp_c", "Nothing in the loop; heat not counted", OURS),
    ("pump_station", "plant_flow_m3_h", "Nothing in the loop; heat not counted", OURS),
)  # fmt: skip
