"""The PI controller: exact in integers, no wind-up, no bump, and no stand-still in single precision."""

from array import array

import pytest

from firmware.substation.pi_controller import PI


def test_a_step_moves_by_band_and_then_by_integral():
    pi = PI(band=80_000, integral_ms=60_000)
    # 8 K of an 80 K band is 10 %; each full integral time repeats it
    outputs = [pi.step(8_000, 2_000) for _ in range(30)]
    assert outputs[0] == 1000 + 1000 * 2 // 60
    assert outputs[-1] == pytest.approx(2000, abs=2)


def test_s11_the_smallest_lasting_error_moves_the_output_in_the_end():
    """firmware.md section 6: PI at 60, error 0.01 K, dt 0.1 s, Ti 900 s stands still in single precision.

    In double it gains 0.4 in ten hours. Ours, in integers, must gain what the exact sum gains.
    """
    steps = 10 * 3600 * 10
    single = array("f", [60.0])
    for _ in range(steps):
        single[0] = single[0] + 0.01 * 0.1 / 900  # what a naive float integrator does
    assert single[0] == 60.0

    pi = PI(band=10_000, integral_ms=900_000)  # 10 K for 100 %: one K is 1000 bp
    pi.track(6_000, 0)
    for _ in range(steps):
        pi.step(10, 100)
    exact_bp = 6_000 + 10 * 1.0 + 10 / 10_000 * 10_000 * steps * 0.1 / 900
    assert pi.output_bp == pytest.approx(exact_bp, abs=1)


@pytest.mark.parametrize("error", [500_000, -500_000])
def test_no_windup_in_a_stop(error):
    pi = PI(band=80_000, integral_ms=60_000)
    for _ in range(10_000):
        pi.step(error, 2_000)
    stop = pi.output_bp
    assert stop == (10_000 if error > 0 else 0)
    turned = [pi.step(-error // 500, 2_000) for _ in range(3)]
    assert abs(turned[0] - stop) >= 100  # it leaves the stop at the first step of opposite error


def test_hand_over_is_bumpless():
    pi = PI(band=80_000, integral_ms=60_000)
    pi.track(3_700, error=4_000)
    assert pi.step(4_000, 0) == 3_700


def test_an_overruled_controller_stays_near():
    pi = PI(band=80_000, integral_ms=60_000)
    for _ in range(600):
        pi.step(10_000, 2_000)
        pi.yield_to(4_000, 10_000)
    assert pi.output_bp == 4_000
    assert pi.step(10_000, 2_000) <= 4_000 + 10_000 * 2_000 // 480_000 + 1


def test_output_never_leaves_its_range():
    pi = PI(band=1_000, integral_ms=1_000, low_bp=2_000, high_bp=9_000)
    for k in range(2_000):
        assert 2_000 <= pi.step((k * 7919) % 4001 - 2000, 2_000) <= 9_000


def test_the_vm_gives_the_same_outputs(in_vm):
    def run():
        pi = PI(80_000, 60_000)
        return [pi.step((k * 7919) % 30_001 - 14_000, 1_900 + k % 200) for k in range(400)]

    printed = in_vm(
        "from substation.pi_controller import PI\n"
        "pi = PI(80000, 60000)\n"
        "print([pi.step((k * 7919) % 30001 - 14000, 1900 + k % 200) for k in range(400)])\n"
    )
    assert printed.strip() == str(run())
