"""Damped readings: a first-order filter in integers, with the residue kept. Loaded only where it is used.

It refuses to bridge a lost sensor: None goes through at once, and the filter starts anew afterwards.
"""

SAMPLE_MS = 2_000  # the loops read their sensors once in a period


class Damping:
    """names: the inputs in their order; filters: {register: time constant in ms}."""

    def __init__(self, names, filters):
        self._lag = [filters.get(name, 0) // SAMPLE_MS for name in names]
        self._state = [None] * len(names)  # value x lag in samples: nothing is lost in the division

    def step(self, i, value):
        """Return the damped value of input i."""
        lag = self._lag[i]
        if not lag:
            return value
        state = self._state[i]
        if value is None:
            self._state[i] = None
            return None
        if state is None:
            state = value * lag
        else:
            state += value - state // lag
        self._state[i] = state
        return state // lag
