"""A proportional-integral controller in integers, with anti-windup and bumpless hand-over.

The integrator keeps the residue of every division, so the smallest lasting error moves it in the
end, whatever the float width of the chip. It refuses to integrate further into a stop.
"""

from .fixed_point import FULL_BP


class PI:
    """Output in basis points, low_bp..high_bp.

    band: the error (in the caller's integer unit) that moves the output over its whole range at once.
    integral_ms: the time in which a lasting error repeats the proportional part.
    """

    def __init__(self, band, integral_ms, low_bp=0, high_bp=FULL_BP):
        self._band = band
        self._per_bp = max(1, band * integral_ms // FULL_BP)  # error x ms for one basis point
        self._low = low_bp
        self._high = high_bp
        self._integral_bp = 0
        self._residue = 0
        self.output_bp = low_bp

    def step(self, error, dt_ms):
        """Return the output after dt_ms of this error."""
        proportional = error * FULL_BP // self._band
        output = proportional + self._integral_bp
        # at a stop, only an error that leads away from it is integrated
        if (output < self._high or error < 0) and (output > self._low or error > 0):
            gathered = self._residue + error * dt_ms
            steps = gathered // self._per_bp
            self._residue = gathered - steps * self._per_bp
            integral = self._integral_bp + steps
            if integral > self._high:
                integral = self._high
            elif integral < self._low:
                integral = self._low
            self._integral_bp = integral
            output = proportional + integral
        if output > self._high:
            output = self._high
        elif output < self._low:
            output = self._low
        self.output_bp = output
        return output

    def track(self, output_bp, error):
        """Make the next step continue from output_bp at this error: another master held the output."""
        integral = output_bp - error * FULL_BP // self._band
        if integral > self._high:
            integral = self._high
        elif integral < self._low:
            integral = self._low
        self._integral_bp = integral
        self._residue = 0
        self.output_bp = output_bp

    def yield_to(self, output_bp, error):
        """Stay at most a little above what another controller allows, ready to take over at once."""
        if self.output_bp > output_bp:
            self.track(output_bp, error)
