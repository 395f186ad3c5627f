"""Updates as the running controller sees them: opened by an order, fed by FC 21, proved by control.

It refuses to load what an update needs before one is open, to stay open when nothing comes any more, to
restart before the image is whole, and to restart at once: the receipt of the order gets out first. It refuses
to be opened again and again: a stolen key shall not wear the flash out. By order
it goes back only from an image that is not confirmed yet, so no key leads below the version floor (S10).
"""

from .commands import DROP, GO_BACK, OPEN, OPEN_LIMITS
from .incoming import FLASH, READY, REFUSED, VERIFYING
from .let_go import let_go_of
from .limits_record import PROVED_S
from .slots import LONG_LIFE_S

RESET_AFTER_S = 3
OPEN_FOR_S = 1_800  # without a piece, then whoever opened it must come again [estimate]
STEPS_AT_ONCE = 4
# Each opening costs four erases of the flash: so many at once, then one in OPENS_EVERY_S. [estimate]
OPENS = 8
OPENS_EVERY_S = 450

(
    IMAGE_SLOT, IMAGE_STATE, IMAGE_VERSION, IMAGE_FLOOR, UPDATE_STATE, UPDATE_CAUSE, UPDATE_NEXT,
) = range(7)  # fmt: skip
NAMES = (
    "image_slot_number", "image_state_number", "image_version_number", "image_floor_number",
    "update_state_number", "update_cause_number", "update_next_b",
)  # fmt: skip
GIVEN_UP = 3  # image state beside the slots' own three


class Updating:
    """running: folder of the program that runs, "" for the one by USB. house: False for a pump station.

    restart: ends this run in order and resets the board. log: the event log. limits: (device id, version of
    the limit bundle in force, whether it is on trial, why the last one was given up).
    """

    def __init__(self, bank, persistence, running, restart, house, log=None, limits=(b"", 0, False, 0)):
        from .performance import Performance
        from .slots import Slots

        self._bank = bank
        self._log = log
        self._points = [bank.point(name) for name in NAMES]
        self._persistence = persistence
        self._running = running
        self._restart = restart
        self._reset_at_s = None
        self._update = None
        self._device_id, version, self._limits_trial, self._limits_cause = limits
        bank.put(bank.point("limits_version_number"), version)
        self._idle_s = 0
        self._opens = 0  # of late
        self._trial = None
        self.performance = Performance(bank, house)
        slots = Slots(persistence)
        if running and slots.state:
            from .trial import Trial

            self._trial = Trial(slots)
        self._forget_deaths = bool(running) and bool(slots.deaths)
        self.publish(slots)
        if not self._trial:
            let_go_of("slots", "image")  # until an update wants them

    def publish(self, slots):
        """Show what runs, and how far it is proved."""
        put, points = self._bank.put, self._points
        put(points[IMAGE_SLOT], slots.active if self._running else 0)
        state = GIVEN_UP if slots.reason and not slots.state else slots.state
        version = slots.version[slots.active] if self._running else 0
        put(points[IMAGE_STATE], state)
        put(points[IMAGE_VERSION], version)
        if self._log is not None:
            self._log.program(state, version, slots.reason)
        put(points[IMAGE_FLOOR], slots.floor)
        self._publish_update()

    def _publish_update(self):
        put, points, update = self._bank.put, self._points, self._update
        put(points[UPDATE_STATE], update.state if update else 0)
        put(points[UPDATE_CAUSE], update.cause if update else self._limits_cause)
        put(points[UPDATE_NEXT], update.next if update else 0)

    # -- orders -----------------------------------------------------------------------------------

    def may(self, command):
        """Return whether a command has a meaning now."""
        if self._reset_at_s is not None:
            return False
        if command in (OPEN, OPEN_LIMITS) and self._opens >= OPENS:
            return False
        if command == OPEN:  # an image on trial first: its way back would have to be emptied
            return self._trial is None
        if command == OPEN_LIMITS:  # one change at a time, so that what is worse afterwards is its doing
            return self._trial is None and not self._limits_trial
        if command == DROP:
            return self._update is not None
        if command == GO_BACK:
            return self._trial is not None
        return self._update is not None and self._update.state == READY

    def open(self, size, digest, limits=False):
        """Begin an update, or take up one of the same digest. limits: of a limit bundle, not of an image."""
        from .update_orders import opened

        if self._update is not None:
            self._update.close()
        self._opens += 1
        self._idle_s = 0
        self._limits_cause = 0
        self._update = opened(self._persistence, size, digest, self._device_id if limits else None)
        self._publish_update()

    def direct(self, command):
        """Activate, drop or go back: the last two need no image."""
        from .update_orders import directed

        slots, restart = directed(command, self._persistence, self._update, self.performance)
        if restart:
            self._reset_at_s = -1
        elif command != DROP:
            print("update: the flash refuses; nothing is changed")
            if self._update is not None:
                self._update.cause = FLASH
            return self.publish(slots)
        self.abandon()
        self.publish(slots)

    def abandon(self):
        """Close an update that is over, or that died, or that nobody feeds any more; what is whole stays."""
        if self._update is not None:
            self._update.close()
        self._update = None
        self._publish_update()
        let_go_of(
            "update",
            "limit_bundle",
            "limits_record",
            "incoming",
            "image",
            "update_orders",
            "ed25519",
            "sha512",
        )

    # -- pieces -----------------------------------------------------------------------------------

    @property
    def is_open(self):
        return self._update is not None

    @property
    def is_verifying(self):
        return self._update is not None and self._update.state == VERIFYING

    def write(self, at, piece):
        """Take a piece of the image, as update.Update does."""
        update = self._update
        if update is None:
            return REFUSED
        before = update.next
        answer = update.write(at, piece)
        if update.next > before:  # what brings nothing new keeps nothing open
            self._idle_s = 0
        self._publish_update()
        return answer

    def step(self):
        """Verify a little; whoever calls this gives other tasks their turn in between."""
        for _ in range(STEPS_AT_ONCE):
            if self._update is None or not self._update.step():
                break
        self._publish_update()

    # -- control ----------------------------------------------------------------------------------

    def control(self, now_s, seconds):
        """Take notice of a control period: judge an image on trial, remember how well this one does."""
        if self._opens and now_s % OPENS_EVERY_S < seconds:
            self._opens -= 1
        if self._update is not None:
            self._idle_s += seconds
            if self._idle_s > OPEN_FOR_S:
                self.abandon()
        if self._forget_deaths and now_s >= LONG_LIFE_S:
            self._forget_deaths = False
            self._slots().lived_long()
        if self._limits_trial and now_s >= PROVED_S:
            self._prove_limits()
        if self._reset_at_s is not None:
            if self._reset_at_s < 0:
                self._reset_at_s = now_s + RESET_AFTER_S
            elif now_s >= self._reset_at_s:
                self._restart()
        elif self._trial is None:
            self.performance.step(seconds)
        elif self._trial.step(seconds, self.performance, self._persistence, self.publish, self._restart):
            self._trial = None
            let_go_of("trial", "slots", "image")

    def _prove_limits(self):
        from .limits_record import Limits

        limits = Limits(self._persistence)
        if limits.prove():
            self._limits_trial = False
            print("limits: version %d holds" % limits.floor)
        let_go_of("limits_record", "image")

    def died(self):
        """The control task ended, and the board is about to be reset: an image that keeps so is left."""
        if self._running:
            self._slots().died()

    def _slots(self):
        from .slots import Slots

        return Slots(self._persistence)
