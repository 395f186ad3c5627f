"""Settings that a signed limit bundle lays over site.json: which may be, which hold, how far they are proved.

Asked while booting, and only on a board that was ever sent one. It refuses a bundle that the checks of
site.json find fault with, one the controller does not live with, and one whose site.json was changed at the
device since: who stands in front of it has the last word. It never writes site.json.

The record `limits`: which of two files is in force and which is being tried, how often, the lowest version
still taken, and of each file its version, its SHA-256 and the site.json it was made for. Flash: some six
writes for a bundle, none without one.
"""

import hashlib

from .image import sha256_of

RECORD = "limits"
RECORD_BYTES = 96
FILES = ("", "state/limits_a.txt", "state/limits_b.txt")  # the signed text as it came
NONE = 0
FORM = b"toplovod-limit/1 "
LONGEST_TEXT = 4096  # read whole while booting and once when it comes [estimate]
# Starts that do not live PROVED_S, power cuts among them. One less than an image gets: it is not to blame.
TRIES = 2
CONTENT, FLASH, SETTINGS = 5, 6, 10  # why one was given up, as registers.UPDATE_CAUSES counts
PROVED_S = 600  # of control: boot, first connections and first housekeeping are past [estimate]

# Neither wiring nor tuning, neither keys nor network; and nothing that protects people or pumps by itself:
# frost, scald limit, DHW floor, legionella and dry-run protection change at the device alone (S5).
NAMES = (
    "deficit_budget_kh", "curve_points", "curve2_points", "curve_slope", "curve2_slope",
    "return_limit_points", "flow_limit_points", "heat_limit_points", "schedule", "schedule2", "dhw_schedule",
    "circulation_schedule", "holidays", "utc_offset_min", "summer_time",
    "curve_cold_outdoor_temp_c", "curve_cold_supply_temp_c", "curve_warm_outdoor_temp_c",
    "curve_warm_supply_temp_c", "supply_temp_minimum_c", "supply_temp_maximum_c", "contract_flow_limit_m3_h",
    "return_limit_temp_c", "curve_shift_minimum_k", "curve_shift_maximum_k",
    "curve_setback_k", "summer_outdoor_temp_c", "room_comfort_temp_c", "room_influence_pct",
    "room_shift_maximum_k", "room_adaptation_maximum_k", "optimum_start_maximum_s", "optimum_stop_maximum_s",
    "curve2_cold_outdoor_temp_c", "curve2_cold_supply_temp_c", "curve2_warm_outdoor_temp_c",
    "curve2_warm_supply_temp_c", "supply2_temp_minimum_c", "supply2_temp_maximum_c", "curve2_setback_k",
    "summer2_outdoor_temp_c", "room2_comfort_temp_c", "room2_influence_pct", "room2_shift_maximum_k",
    "room2_adaptation_maximum_k", "optimum2_start_maximum_s", "optimum2_stop_maximum_s",
    "contract_heat_limit_kw", "return_difference_limit_k", "capacity_heat_limit_kw", "capacity_window_s",
    "dhw_comfort_temp_c", "dhw_setback_temp_c", "dhw_return_limit_temp_c", "dhw_heating_setback_k",
    "dhw_priority_maximum_s",
    "own_plant_dp_bar", "plant_dp_minimum_bar", "plant_dp_maximum_bar", "plant_supply_temp_minimum_c",
    "plant_supply_temp_maximum_c", "plant_curve_cold_outdoor_temp_c", "plant_curve_cold_supply_temp_c",
    "plant_curve_warm_outdoor_temp_c", "plant_curve_warm_supply_temp_c", "index_dp_own_bar",
)  # fmt: skip


class Limits:
    """The record as it is now."""

    def __init__(self, persistence):
        self._persistence = persistence
        saved = persistence.load(RECORD)
        if saved is None or len(saved) != RECORD_BYTES or saved[0] > 2 or saved[1] > 2:
            saved = bytes(RECORD_BYTES)
        self.active, self.tried, self.tries, self.cause = saved[:4]
        self.floor = int.from_bytes(saved[4:8], "big")
        self.version = [0, int.from_bytes(saved[8:12], "big"), int.from_bytes(saved[12:16], "big")]
        self.digest = [b"", bytes(saved[16:48]), bytes(saved[48:80])]
        self.base = [b"", bytes(saved[80:88]), bytes(saved[88:96])]  # site.json that it was made for

    def save(self):
        """Keep everything. False, told on the console, when the flash refuses."""
        return self._persistence.save(
            RECORD,
            bytes((self.active, self.tried, self.tries, self.cause))
            + self.floor.to_bytes(4, "big")
            + self.version[1].to_bytes(4, "big")
            + self.version[2].to_bytes(4, "big")
            + self.digest[1]
            + self.digest[2]
            + self.base[1]
            + self.base[2],
        )

    def spare(self):
        """Return the file that a bundle may fill: never the one in force."""
        return 2 if self.active == 1 else 1

    def takes(self, version, digest):
        """Return whether a version may come: a rising one, or the last once more, word for word."""
        return version > self.floor or (version == self.floor and version and digest in self.digest)

    def begin(self, file, version, digest):
        """From the next start on what came into a file is tried."""
        self.tried, self.tries, self.cause = file, 0, 0
        self.version[file] = version
        self.digest[file] = digest
        self.base[file] = site_digest()
        return self.save()

    def prove(self):
        """The controller lives with what it tries: from now on nothing older is taken."""
        self.active, self.tried = self.tried, NONE
        self.floor = max(self.floor, self.version[self.active])
        return self.save()

    def give_up(self, cause):
        """What was in force before goes on."""
        self.tried, self.cause = NONE, cause
        return self.save()


def site_digest(path="site.json"):
    """Return what tells whether site.json is still the same: the first 8 bytes of its SHA-256."""
    try:
        return sha256_of(path, bytearray(256))[:8]
    except OSError:
        return bytes(8)


def told_by(text):
    """Return (device id as text, version, settings) of a signed text; ValueError says what is wrong."""
    import json

    device, version, settings = (text.split("\n", 3) + [""] * 3)[1:4]
    if not device.startswith("device ") or not version.startswith("version "):
        raise ValueError("has no device and version")
    content = json.loads(settings)
    if not isinstance(content, dict) or not content:
        raise ValueError("has no settings")
    for name in content:
        if name not in NAMES:
            raise ValueError("%s may not be set by a bundle" % name)
    return device[7:], int(version[8:]), content


def laid_over(content, settings):
    """Return site.json's content with the bundle's settings in place of its own; null takes one away."""
    merged = dict(content)
    for name, value in settings.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def _settings_in(file, digest):
    """Return the settings in a file, or None where it is not the one that was verified."""
    try:
        with open(FILES[file], "rb") as kept:
            whole = kept.read(LONGEST_TEXT + 65)
        if hashlib.sha256(whole).digest() != digest:
            return None
        return told_by(whole[:-64].decode())[2]
    except (OSError, ValueError):
        return None


def settle(persistence, content, make):
    """Return the Site in force; its `limits`: version of the bundle, on trial, why one was given up.

    make(content) checks settings as those of site.json.
    """
    limits = Limits(persistence)
    base = site_digest()
    if limits.tried:
        site = _tried(limits, base, content, make)
        if site is not None:
            return site
    active = limits.active
    if not active or limits.base[active] != base:
        site = make(content)
        site.limits = (0, False, limits.cause)
        return site
    for file in (active, limits.spare()):
        settings = _settings_in(file, limits.digest[file]) if limits.base[file] == base else None
        if settings is not None and limits.version[file] <= limits.floor:
            site = make(laid_over(content, settings))
            site.limits = (limits.version[file], False, limits.cause)
            if file != active:
                site.mistakes.append(("limits", "the bundle in force is damaged; the one before holds"))
            return site
    site = make(content)
    site.mistakes.append(("limits", "both bundles are damaged; site.json alone holds. Send the bundle again"))
    return site


def _tried(limits, base, content, make):
    """Return the Site with the bundle that is being tried, or None where it is given up."""
    file = limits.tried
    cause = SETTINGS
    if limits.base[file] != base:
        print("limits: site.json was changed at the device")
    elif limits.tries >= TRIES:
        print("limits: version %d does not live; what held before holds" % limits.version[file])
    else:
        settings = _settings_in(file, limits.digest[file])
        if settings is None:
            cause = CONTENT
        else:
            site = make(laid_over(content, settings))
            if not site.mistakes:
                limits.tries += 1
                if limits.save():
                    site.limits = (limits.version[file], True, 0)
                    return site
                cause = FLASH  # what cannot be counted is not tried
            else:
                print("limits: version %d is refused: %s: %s" % ((limits.version[file],) + site.mistakes[0]))
    limits.give_up(cause)
    return None
