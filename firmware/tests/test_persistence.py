"""Records that outlive a power cut, at every flash operation, torn writes included."""

import os
import stat

import pytest

from firmware.substation import persistence
from firmware.substation.boots import Boots
from firmware.substation.persistence import Persistence

from .memory_flash import MemoryFlash


class PowerCut(BaseException):
    """Nothing after this moment happened."""


def test_the_newest_generation_is_loaded(tmp_path):
    kept = Persistence(str(tmp_path / "state"))
    assert kept.load("energy") is None
    for k in range(5):
        assert kept.save("energy", bytes((k,)) * 8)
        assert Persistence(str(tmp_path / "state")).load("energy") == bytes((k,)) * 8
    assert sorted(os.listdir(tmp_path / "state")) == ["energy.0", "energy.1"]


def test_a_damaged_generation_falls_back_to_the_one_before(tmp_path):
    kept = Persistence(str(tmp_path))
    kept.save("boot", b"first.")
    kept.save("boot", b"second")
    newest = tmp_path / "boot.1"
    whole = newest.read_bytes()
    for at in range(len(whole)):
        newest.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        assert Persistence(str(tmp_path)).load("boot") == b"first."
    for length in range(len(whole)):
        newest.write_bytes(whole[:length])
        assert Persistence(str(tmp_path)).load("boot") == b"first."
    newest.write_bytes(whole)
    assert Persistence(str(tmp_path)).load("boot") == b"second"


class CuttingFile:
    """Stands between the record and the file: counts operations and cuts the power in the chosen one."""

    def __init__(self, file, cut):
        self._file = file
        self._cut = cut

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, content):
        if self._cut.now():
            self._file.write(bytes(content)[: self._cut.torn(len(content))])
            self._file.flush()
            raise PowerCut
        self._file.write(content)
        self._file.flush()

    def read(self, size=-1):
        return self._file.read(size)


class Cut:
    def __init__(self, operation, share):
        self._left = operation
        self._share = share
        self.happened = False

    def now(self):
        self._left -= 1
        self.happened = self._left == 0
        return self.happened

    def torn(self, length):
        return int(length * self._share)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0], ids=["nothing", "a third", "all"])
@pytest.mark.parametrize("operation", range(1, 6))
def test_s9_a_power_cut_at_any_operation_leaves_old_or_new(tmp_path, monkeypatch, operation, share):
    """One save: create the draft, write the body, write the check, rename; operation 5 is none."""
    kept = Persistence(str(tmp_path))
    for k in range(3):
        kept.save("deficit", b"old %d" % k)
    cut = Cut(operation, share)

    def cutting_open(path, mode="r"):
        if "w" in mode and cut.now():
            if share:
                open(path, mode).close()
            raise PowerCut
        return CuttingFile(open(path, mode), cut)

    def cutting_rename(old, new):
        if cut.now():
            if share == 1.0:
                os.rename(old, new)
            raise PowerCut
        os.rename(old, new)

    class CuttingOs:
        mkdir = staticmethod(os.mkdir)
        rename = staticmethod(cutting_rename)

    monkeypatch.setattr(persistence, "open", cutting_open, raising=False)
    monkeypatch.setattr(persistence, "os", CuttingOs)
    try:
        kept.save("deficit", b"new")
        done = True
    except PowerCut:
        done = False
    monkeypatch.undo()
    assert cut.happened == (not done)
    found = Persistence(str(tmp_path)).load("deficit")
    assert found == b"new" if done else found in (b"old 2", b"new")
    again = Persistence(str(tmp_path))
    assert again.save("deficit", b"after")
    assert Persistence(str(tmp_path)).load("deficit") == b"after"


def test_a_flash_that_refuses_is_told_and_survived(tmp_path, capsys):
    kept = Persistence(str(tmp_path / "state"))
    kept.save("boot", b"stands")
    os.chmod(tmp_path / "state", stat.S_IRUSR | stat.S_IXUSR)
    try:
        if os.access(tmp_path / "state", os.W_OK):  # root writes anywhere: take the folder away instead
            os.chmod(tmp_path / "state", 0o700)
            os.rename(tmp_path / "state", tmp_path / "away")
            assert not kept.save("boot", b"lost")
            os.rename(tmp_path / "away", tmp_path / "state")
        else:
            assert not kept.save("boot", b"lost")
    finally:
        os.chmod(tmp_path / "state", 0o700)
    assert "not saved" in capsys.readouterr().out
    assert Persistence(str(tmp_path / "state")).load("boot") == b"stands"


def test_it_works_in_the_vm(in_vm):
    printed = in_vm(
        "from substation.persistence import Persistence\n"
        "p = Persistence('state')\n"
        "for k in range(5): p.save('x', bytes([k]) * 100)\n"
        "print(Persistence('state').load('x') == bytes([4]) * 100, p.load('y'), p.writes)\n"
    )
    assert printed.split() == ["True", "None", "5"]


def test_boots_are_counted_and_rescues_too():
    flash = MemoryFlash()
    assert [Boots(flash, watchdog).count for watchdog in (False, True, False)] == [1, 2, 3]
    boots = Boots(flash, False)
    assert (boots.count, boots.rescues) == (4, 1)
    assert not boots.rescued
    boots.rescue(None)
    after = Boots(flash, False)
    assert (after.rescues, after.rescued) == (2, True)
    assert not Boots(flash, False).rescued
    assert Boots(flash, True).rescues == 3


def test_the_first_start_of_all_is_no_rescue_though_the_tools_reset_looks_like_a_bite():
    flash = MemoryFlash()
    first = Boots(flash, True)
    assert (first.count, first.rescues, first.rescued) == (1, 0, False)
    assert Boots(flash, True).rescued


def test_a_reset_of_our_own_is_no_bite_though_the_rp2040_calls_it_one():
    flash = MemoryFlash()
    boots = Boots(flash, False)
    boots.plan(None)
    after = Boots(flash, True)
    assert (after.rescues, after.rescued) == (0, False)
    after.rescue(None)
    again = Boots(flash, True)
    assert (again.rescues, again.rescued) == (1, True)
    bitten = Boots(flash, True)
    assert (bitten.rescues, bitten.rescued) == (2, True)
