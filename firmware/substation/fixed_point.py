"""Integer units of the control loops: a thousandth of what a register's name says.

Integers do not drift and are the same on single- and double-precision chips, where a float
integrator can stand still (a PI at 60 with 0.01 K of error never moves in single precision).
It refuses floats anywhere but at the edges: the site file and a sensor's characteristic.

degC -> mc (0.001 degC), K -> mk, bar -> mbar, m3/h -> l_h, m3 -> l, kW -> w, kWh -> wh; a percentage is
counted in basis points, bp: 10 000 bp = 100 %. Everything else is a plain number.
"""

FULL_BP = 10000


def per_unit(name):
    """Return how many of the integer steps make one unit of the register called name."""
    if name.endswith(("_c", "_k", "_bar", "_m3_h", "_m3", "_kw", "_kwh", "_kh")):
        return 1000
    return 100 if name.endswith("_pct") else 1


def divisor(register):
    """Return how many integer steps one count on the wire is worth; at least 1."""
    return int(round(register.scale * per_unit(register.name)))


def to_fixed(register, value):
    """Return the integer for an engineering value of this register."""
    return int(round(value * per_unit(register.name)))
