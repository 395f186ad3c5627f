"""Updates as the running controller sees them: opened by an order, fed by FC 21, proved by control.

It refuses to load what an update needs before one is open, to restart before the image is whole, and to
start anew while the watchdog might see it: the board is reset by the control task's own way.
"""

from .commands import ACTIVATE, DROP, GO_BACK, OPEN

REFUSED = 3  # as in update
RELEASE_KEY = "release.pub"
RELEASE_KEY_BYTES = 32
RESET_AFTER_S = 3  # so that the receipt of the order still gets out
STEPS_AT_ONCE = 4

(
    IMAGE_SLOT, IMAGE_STATE, IMAGE_VERSION, IMAGE_FLOOR, UPDATE_STATE, UPDATE_CAUSE, UPDATE_NEXT,
) = range(7)  # fmt: skip
NAMES = (
    "image_slot_number", "image_state_number", "image_version_number", "image_floor_number",
    "update_state_number", "update_cause_number", "update_next_b",
)  # fmt: skip
GIVEN_UP = 3  # image state beside the slots' own three


def read_release_key():
    """Return the public key that images must be signed by, or None where the board has none."""
    try:
        with open(RELEASE_KEY, "rb") as file:
            key = file.read(RELEASE_KEY_BYTES + 1)
    except OSError:
        return None
    return key if len(key) == RELEASE_KEY_BYTES else None


# What a trial is judged by: wanted, measured, what it is made from, who decides, heat or pressure wanted.
WATCHED = {
    True: (
        "secondary_supply_temp_effective_c", "secondary_supply_temp_c", "primary_supply_temp_c",
        "active_limiter_number", "secondary_pump_out_number", "valve_position_out_pct",
    ),
    False: (
        "plant_dp_effective_bar", "plant_dp_bar", "plant_dp_effective_bar", "active_limiter_number",
        "plant_flow_m3_h", "pump_speed_out_pct",
    ),
}  # fmt: skip
NO_READING = (0x8000, 0xFFFF)
MOVED = 500  # of a position or speed in 0.01 %


class Updating:
    """running: folder of the program that runs, "" for the one by USB. reset: resets the board.

    house: a substation, judged by its supply temperature; else a pump station, judged by its pressure.
    """

    def __init__(self, bank, persistence, running, reset, house):
        self._bank = bank
        self._points = [bank.point(name) for name in NAMES]
        self._house = house
        self._watched = [bank.point(name) for name in WATCHED[house]]
        self._fault_point = bank.point("sensor_fault_bits")
        self._first_position = None
        self._persistence = persistence
        self._running = running
        self._reset = reset
        self._reset_at_s = None
        self._update = None
        self._proving = None
        self._mean = None
        self._lived = False
        slots = self._slots()
        self.worst_mk = 0
        if running and slots.state:
            from .proving import Proving

            self._proving = Proving(slots.worst_mk, slots.faults)
        self._publish(slots)

    def _slots(self):
        from .slots import Slots

        return Slots(self._persistence)

    def _publish(self, slots):
        put, points = self._bank.put, self._points
        put(points[IMAGE_SLOT], slots.active if self._running else 0)
        put(points[IMAGE_STATE], GIVEN_UP if slots.reason and not slots.state else slots.state)
        put(points[IMAGE_VERSION], slots.version[slots.active] if self._running else 0)
        put(points[IMAGE_FLOOR], slots.floor)
        self._publish_update()

    def _publish_update(self):
        put, points, update = self._bank.put, self._points, self._update
        put(points[UPDATE_STATE], update.state if update else 0)
        put(points[UPDATE_CAUSE], update.cause if update else 0)
        put(points[UPDATE_NEXT], update.next if update else 0)

    # -- orders -----------------------------------------------------------------------------------

    def may(self, command):
        """Return whether a command has a meaning now."""
        if self._reset_at_s is not None:
            return False
        if command == OPEN:
            return True
        if command == DROP:
            return self._update is not None
        if command == ACTIVATE:
            from .update import READY

            return self._update is not None and self._update.state == READY
        return bool(self._running)

    def open(self, size, digest):
        """Begin an update, or take up one of the same digest."""
        from .update import Update

        if self._update is not None:
            self._update.close()
        self._update = Update(self._slots(), read_release_key(), size, digest)
        self._publish_update()

    def direct(self, command):
        """Activate, drop or go back: the last two need no image."""
        slots = self._slots()
        if command == ACTIVATE:
            if self._update is not None and slots.begin_trial(
                self._update.slot, self.worst_mk, self._bank.raw(self._fault_point)
            ):
                self._reset_at_s = -1
        elif command == GO_BACK:
            from .slots import ASKED

            if slots.give_up(ASKED):
                self._reset_at_s = -1
        if self._update is not None:
            self._update.close()
            self._update = None
        self._publish(slots)

    # -- pieces -----------------------------------------------------------------------------------

    @property
    def is_open(self):
        return self._update is not None

    def write(self, at, piece):
        """Take a piece of the image, as update.Update does."""
        update = self._update
        answer = update.write(at, piece) if update is not None else REFUSED
        self._publish_update()
        return answer

    @property
    def is_verifying(self):
        return self._update is not None and self._update.state == 2

    def step(self):
        """Verify a little; whoever calls this gives other tasks their turn in between."""
        for _ in range(STEPS_AT_ONCE):
            if self._update is None or not self._update.step():
                break
        self._publish_update()

    # -- control ----------------------------------------------------------------------------------

    def _situation(self):
        """Return (demand, error, head, faults, moved) as proving wants them; pressures count in 0.1 mbar."""
        raw = [self._bank.raw(point) for point in self._watched]
        wanted, measured, source, limiter, running, position = raw
        if self._first_position is None:
            self._first_position = position
        moved = abs(position - self._first_position) >= MOVED
        demand = running not in (0, 0xFFFF) and limiter == 0
        error = head = None
        if wanted not in NO_READING and measured not in NO_READING and source not in NO_READING:
            error = 10 * (wanted - measured)
            head = 10 * (source - wanted) if self._house else 10_000
        return demand, error, head, self._bank.raw(self._fault_point), moved

    def control(self, now_s, seconds):
        """Take notice of a control period: judge an image on trial, remember how well this one does."""
        if self._reset_at_s is not None:
            if self._reset_at_s < 0:
                self._reset_at_s = now_s + RESET_AFTER_S
            elif now_s >= self._reset_at_s:
                self._reset()
            return
        demand, error_mk, head_mk, faults, moved = self._situation()
        if self._proving is None:
            self._remember(seconds, demand, error_mk, head_mk)
            return
        if not self._lived:
            from .slots import ALIVE_AFTER_S

            if now_s >= ALIVE_AFTER_S:
                self._lived = True
                self._slots().lived()
        from .proving import CONFIRM, GIVE_UP, PROVISIONAL

        verdict = self._proving.step(seconds, demand, error_mk, head_mk, faults, moved)
        if verdict == CONFIRM:
            slots = self._slots()
            slots.confirm()
            self._proving = None
            self._publish(slots)
            print("update: version %d is confirmed" % slots.version[slots.active])
        elif verdict == GIVE_UP:
            from .slots import WORSE

            print("update: control is worse than before; going back")
            if self._slots().give_up(WORSE):
                self._reset()
        elif verdict == PROVISIONAL:
            slots = self._slots()
            slots.call_provisional()
            self._publish(slots)

    def _remember(self, seconds, demand, error_mk, head_mk):
        """The worst hour of demand since this start is what the next image is measured by."""
        if not demand or error_mk is None or head_mk is None:
            return
        if self._mean is None:
            from .proving import ErrorMean

            self._mean = ErrorMean()
        if self._mean.add(error_mk, seconds):
            self.worst_mk = max(self.worst_mk, self._mean.last_mk)
