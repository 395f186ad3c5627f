"""Faults of power and flash: cuts, torn and rotten files, brown-outs. The files are read before and after."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ..fleet import RELAYS
from ..vm_flash.words import in_words_of
from .injector import Injector
from .mischief_faults import STORM_CONTROL
from .rig import FaultRig

POWER_CUTS = Path(__file__).parents[1] / "vm_flash" / "power_cuts.py"
CHIP_S = 600
WRITTEN_S = 3_600.0  # records are written once in an hour of uptime
PART_MS = 50  # of a tick; the shortest pulse of a valve is several
BOOTS, HEAT_KWH, FIRMWARE = "boots", "heat_kwh", "firmware"


class ChipCuts(Injector):
    """Cuts at every program and erase of a story of records, on a flash chip of its own (vm_flash)."""

    needs = frozenset({"flash.chip"})

    def __init__(self, rig: FaultRig, story: str) -> None:
        super().__init__(rig)
        self._story = story
        self.said = ""

    def inject(self) -> None:
        bundle = self.rig.bundle
        script = self.rig.folder / POWER_CUTS.name
        script.write_text(in_words_of(bundle, POWER_CUTS))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "micropython",
                "-X",
                "heapsize=64m",
                str(script),
                str(bundle),
                self._story,
            ],
            capture_output=True,
            text=True,
            timeout=CHIP_S,
            check=False,
        )
        self.said = done.stdout + done.stderr

    def remove(self) -> None:
        pass

    def whole(self) -> bool:
        """Whether old or new stood after every cut."""
        return "cut in operation" not in self.said and "Traceback" not in self.said

    def prove(self) -> str:
        found = re.search(r"operations (\d+) cuts (\d+)", self.said)
        return self.seen(
            found is not None and int(found[2]) > 0,
            f"{self._story}: {found[0] if found else self.said[-300:]}",
        )


def two_generations(rig: FaultRig) -> None:
    """Let the sums of heat and of what orders have taken be written at 3600 s and at 7200 s; then restart.

    No longer than that: in summer nothing but the tap flows, which the network does not feel, and the service
    pipe cools by 3.5 K in 20 minutes.
    """
    for hour_s in (WRITTEN_S, 2.0 * WRITTEN_S):
        rig.talk(lambda controller: controller.order(curve_shift_sp_k=-1.0, lease_s=1_800))
        rig.bench.run_for(hour_s + 60.0 - rig.now_s)
    rig.restart()
    rig.bench.run_for(10.0)


class StateDamage(Injector):
    """The controller is switched off, its newest records are damaged, and it is switched on again.

    It needs records with two generations. What the controller must show when it takes the older ones: `BOOTS`
    and `HEAT_KWH` of rig.plant_seen.
    """

    needs = frozenset({"flash.files", "power.cut"})

    def files(self) -> list[Path]:
        """The newer generation of every record, and nothing that has only one."""
        folder = self.rig.controller.device.board.flash / "state"
        found = []
        for first in sorted(folder.glob("*.0")):
            second = first.with_suffix(".1")
            if second.exists() and first.stem != "log":  # which has segments, no generations
                found.append(max((first, second), key=generation))
        return found

    def inject(self) -> None:
        rig = self.rig
        rig.plant_seen[BOOTS] = float(rig.read("boot_count"))  # the older one, and the boot that takes it
        rig.bench.cut(rig.controller)
        self._were = {path: path.read_bytes() for path in self.files()}
        older = {path: (path.parent / f"{path.stem}.{1 - generation(path) % 2}") for path in self._were}
        rig.plant_seen[HEAT_KWH] = next(
            int.from_bytes(path.read_bytes()[4:12], "big") / 1000.0
            for path in older.values()
            if path.stem == "energy"
        )
        for path, content in self._were.items():
            path.write_bytes(self.damaged(content))
        self._are = {path: path.read_bytes() for path in self._were}
        rig.bench.power(rig.controller)

    def remove(self) -> None:
        pass

    def damaged(self, content: bytes) -> bytes:
        raise NotImplementedError

    def prove(self) -> str:
        changed = [path.stem for path, content in self._were.items() if self._are[path] != content]
        # in summer no order takes heat, and nothing is written of it
        wanted = {"boot", "energy", "deficit"} if self.rig.heating_point else {"boot", "energy"}
        return self.seen(
            len(changed) == len(self._were) and wanted <= set(changed),
            f"newest records damaged on the flash: {', '.join(changed)}",
        )


def generation(path: Path) -> int:
    """Return the number with which a record of the firmware begins."""
    return int.from_bytes(path.read_bytes()[:4], "big")


class Torn(StateDamage):
    """The last part of each newer record was never programmed, or holds what nobody wrote."""

    def __init__(self, rig: FaultRig, *, scrambled: bool) -> None:
        super().__init__(rig)
        self._scrambled = scrambled

    def damaged(self, content: bytes) -> bytes:
        half = len(content) // 2
        rest = (
            bytes((byte & 0x5A) ^ 0x24 for byte in content[half:])
            if self._scrambled
            else b"\xff" * (len(content) - half)
        )
        return content[:half] + rest


class BitRot(StateDamage):
    def __init__(self, rig: FaultRig, bits: int) -> None:
        super().__init__(rig)
        self._bits = bits

    def damaged(self, content: bytes) -> bytes:
        data = bytearray(content)
        for bit in self.rig.random.choice(8 * len(data), self._bits, replace=False):
            data[bit // 8] ^= 1 << (bit % 8)
        return bytes(data)


class BrownOut(Injector):
    """Power goes and comes `times`, `on_s` apart."""

    needs = frozenset({"power.cut"})

    def __init__(self, rig: FaultRig, times: int, on_s: float) -> None:
        super().__init__(rig)
        self._times, self._on_s = times, on_s

    def inject(self) -> None:
        rig = self.rig
        self._boots = rig.fleet.boots(0)
        self._begun_s = rig.now_s
        for _ in range(self._times):
            rig.restart()
            rig.bench.run_for(self._on_s)
        self._took_s = rig.now_s - self._begun_s

    def remove(self) -> None:
        pass

    def prove(self) -> str:
        boots = self.rig.fleet.boots(0) - self._boots
        return self.seen(boots >= self._times, f"{boots} boots in {self._took_s:g} s")


class CutWhileMoving(Injector):
    """The power goes while a relay of a valve is on; resets: its control task dies instead.

    Ticks are granted in parts, until one in which the relay was on from end to end.
    """

    needs = frozenset({"power.cut", "memory.mischief"})

    def __init__(self, rig: FaultRig, *, resets: bool) -> None:
        super().__init__(rig)
        self._resets = resets
        self._relays = ("open_ms", "close_ms") if rig.heating_point else ("dhw_open_ms", "dhw_close_ms")
        self._on_ms = 0  # of the last part before the cut
        self._cut_ms = 0

    def inject(self) -> None:
        rig = self.rig
        self._boots = rig.fleet.boots(0)
        for _ in range(600):
            if self._cut_in_next_tick():
                return

    def _cut_in_next_tick(self) -> bool:
        """Run the next tick; say whether the relay was on and the cut was made."""
        rig, clock, fleet = self.rig, self.rig.clock, self.rig.fleet
        whole = dict.fromkeys(RELAYS, 0)
        until_ms = clock.now_ms + clock.tick_ms
        while self._cut_ms == 0 and fleet.now_ms + PART_MS < until_ms:
            fleet.exchange(fleet.now_ms + PART_MS, clock.inputs)
            for name in RELAYS:
                whole[name] += int(fleet.reports[name][0])
            on_ms = max(int(fleet.reports[name][0]) for name in self._relays)
            if on_ms == PART_MS:
                self._on_ms, self._cut_ms = on_ms, fleet.now_ms
        if self._cut_ms and not self._resets:
            rig.restart()
        fleet.mischief |= STORM_CONTROL if self._cut_ms and self._resets else 0
        clock.step()
        fleet.mischief &= ~STORM_CONTROL
        # the plant has its due of the whole tick in the next one, as always
        for name in RELAYS:
            fleet.reports[name][0] += whole[name]
        for name, seconds in (("open_ms", "open_s"), ("close_ms", "close_s"), ("pump_ms", "pump_on_s")):
            getattr(clock.outputs, seconds)[0] += whole[name] / 1000.0
        return self._cut_ms > 0

    def remove(self) -> None:
        pass

    def prove(self) -> str:
        """The relay was on until the very millisecond in which the board went."""
        fleet = self.rig.fleet
        boots = fleet.boots(0) - self._boots
        went_ms = fleet.resets(0)[-1][0] if self._resets and fleet.resets(0) else self._cut_ms
        return self.seen(
            self._on_ms == PART_MS and boots == 1 and went_ms == self._cut_ms > 0,
            f"relay on for all of the last {self._on_ms} ms before {self._cut_ms} ms; gone at {went_ms} ms, "
            f"{boots} boot since",
        )


class UpdateCut(Injector):
    """The power goes while an image comes in."""

    needs = frozenset({"power.cut", "flash.files"})

    def __init__(self, rig: FaultRig, share: float) -> None:
        super().__init__(rig)
        self._share = share

    def inject(self) -> None:
        from .. import updater
        from .image import signed_image

        rig = self.rig
        image = signed_image(rig)
        rig.plant_seen[FIRMWARE] = float(rig.read("firmware_hash_code"))
        rig.restart()  # the release key is read at boot
        rig.bench.run_for(10.0)
        self._receipt = updater.open_update(rig.controller, image)
        self._size = len(image)
        updater.send(rig.controller, image, rig.bench.run_for, stop_at=int(len(image) * self._share))
        self._at = int(rig.read("update_next_b"))
        self.begun_s = rig.now_s  # until here an image came in, as it should
        rig.restart()

    def remove(self) -> None:
        pass

    def prove(self) -> str:
        return self.seen(
            0 < self._at < self._size and self.rig.fleet.boots(0) >= 3,
            f"{self._at} of {self._size} B had come, then the power went",
        )
