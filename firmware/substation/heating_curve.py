"""Straight lines between two to four points, flat beyond them: heating curves and limits over the outdoors.

One evaluator serves every curve of the controller. It refuses to extrapolate: no outdoor temperature
makes it leave the range of its points.
"""

POINTS_LOW, POINTS_HIGH = 2, 4  # Samson TROVIS 557x: four-point characteristic [firmware.md R2]

# A curve given by slope and level (Samson: 0.2..3.2, -30..30 K [firmware.md R2]) is the straight line that
# passes the room temperature at that same outdoor temperature; Samson's own is bent slightly [ours].
ROOM_MC = 20_000
SLOPE_COLD_MC = -25_000  # below this a curve given by its slope stays flat [estimate]


def line(points, x):
    """Return y at x. points: x0, y0, x1, y1, ... as one tuple of integers, x rising."""
    if x <= points[0]:
        return points[1]
    at = 2
    last = len(points) - 2
    while at < last and x > points[at]:
        at += 2
    if x >= points[at]:
        return points[at + 1]
    x0 = points[at - 2]
    y0 = points[at - 1]
    return y0 - (y0 - points[at + 1]) * (x - x0) // (points[at] - x0)


def of_slope(slope_milli, level_mk):
    """Return the points of a curve of this slope, in thousandths of K per K, and level, in 0.001 K."""
    warm_mc = ROOM_MC + level_mk
    return (SLOPE_COLD_MC, warm_mc + slope_milli * (ROOM_MC - SLOPE_COLD_MC) // 1000, ROOM_MC, warm_mc)
