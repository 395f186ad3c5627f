"""`pump_pwm` and `pump2_pwm` in site.json: circulation pumps that take their speed as the duty of pulses.

It refuses a pump whose pin no timer reaches, and feedback where the board has no pin for it.
"""

PROFILES = ("heating", "solar")  # as boards.pump_pwm counts them
KEYS = ("profile", "speed_pct", "feedback")


def _row(value, site, number, pins):
    if not isinstance(value, dict) or any(key not in KEYS for key in value):
        raise ValueError(
            'must be {"profile": "heating" or "solar", "speed_pct": 1 to 100, "feedback": true or false}'
        )
    profile, speed_pct, feedback = (
        value.get("profile"),
        value.get("speed_pct", 100),
        value.get("feedback", False),
    )
    if profile not in PROFILES:
        raise ValueError("profile %r must be heating or solar: see the pump's plate" % (profile,))
    if isinstance(speed_pct, bool) or not isinstance(speed_pct, int) or not 1 <= speed_pct <= 100:
        raise ValueError("speed_pct %r must be a whole number between 1 and 100" % (speed_pct,))
    if not isinstance(feedback, bool):
        raise ValueError("feedback %r must be true or false" % (feedback,))
    if number >= site.circuits:
        raise ValueError("is a pump of a circuit that this site does not have")
    if pins is not None and number >= pins.PWM_PUMPS:
        raise ValueError("the board %s has no pulses for this pump" % site.board)
    if pins is not None and feedback and number >= len(pins.PUMP_FEEDBACK):
        raise ValueError("the board %s has no pin for this pump's feedback" % site.board)
    return number, PROFILES.index(profile), speed_pct * 100, feedback


def read(site, pins):
    """Take the keys into the site. A mistake leaves the pump to its relay."""
    rows = []
    for number, key in enumerate(("pump_pwm", "pump2_pwm")):
        row = site.checked(key, _row, site, number, pins)
        if row is not None:
            rows.append(row)
    site.pump_pwm = tuple(rows)
