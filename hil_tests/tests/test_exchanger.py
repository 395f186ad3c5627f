"""The exchanger agrees with 40 cells, conserves heat and keeps inside its inlet temperatures."""

from dataclasses import replace

import numpy as np
import pytest

from core_ext.substations import SubstationBlock
from hil_tests.bench.plant import sizing
from hil_tests.bench.plant.exchanger import Exchangers, effectiveness
from hil_tests.bench.plant.houses import constants, lay_into

CP = 4180.0
HEAT_W = 15e3
WATER_KG = 0.5
METAL_J_K = 1700.0
UA = sizing.exchanger_ua_w_k(HEAT_W)
PRIMARY_KG_S = HEAT_W / (35.0 * CP)
SECONDARY_KG_S = HEAT_W / (15.0 * CP)
STEP_AT_S = 120.0
END_S = 300.0


def cells(before, after, count=40):
    """Upwind cells of water, wall, water; explicit and fine. Rows: time, primary outlet, secondary outlet."""
    one, two, wall = np.full(count, 20.0), np.full(count, 20.0), np.full(count, 20.0)
    film = 2.0 * UA / count
    water, metal = WATER_KG * CP / count, METAL_J_K / count
    flow = max(before[0], before[2], after[0], after[2]) * CP
    dt = 0.4 / max(flow / water + film / water, 2 * film / metal)
    rows = []
    for step in range(round(END_S / dt)):
        m1, t1, m2, t2 = before if step * dt < STEP_AT_S else after
        from_1 = np.concatenate([[t1], one[:-1]])
        from_2 = np.concatenate([two[1:], [t2]])
        q1, q2 = film * (one - wall), film * (wall - two)
        one = one + dt / water * (m1 * CP * (from_1 - one) - q1)
        two = two + dt / water * (m2 * CP * (from_2 - two) + q2)
        wall = wall + dt / metal * (q1 - q2)
        if step % 8 == 0:
            rows.append((step * dt, one[-1], two[0]))
    return np.array(rows)


def model(before, after, dt=0.1):
    exchanger = Exchangers([UA], [WATER_KG * CP], [WATER_KG * CP], [METAL_J_K], CP)
    rows = []
    for step in range(round(END_S / dt)):
        m1, t1, m2, t2 = (np.array([v]) for v in (before if step * dt < STEP_AT_S else after))
        exchanger.step(dt, m1, t1, m2, t2)
        rows.append((step * dt, exchanger.primary_out_c[0], exchanger.secondary_out_c[0]))
    return np.array(rows)


def compiled(before, after, dt=0.1):
    """The same exchanger in the kernel, with a constant UA as `model` has it."""
    exchanger = Exchangers([UA], [WATER_KG * CP], [WATER_KG * CP], [METAL_J_K], CP)
    block = SubstationBlock(1, replace(constants(CP), flow_exponent=0.0))
    lay_into(block, exchanger)
    inputs = [block.row(n) for n in ("primary_kg_s", "primary_in_c", "secondary_kg_s", "secondary_in_c")]
    rows = []
    for step in range(round(END_S / dt)):
        for row, value in zip(inputs, before if step * dt < STEP_AT_S else after, strict=True):
            row[0] = value
        block.exchange(dt)
        rows.append((step * dt, exchanger.primary_out_c[0], exchanger.secondary_out_c[0]))
    return np.array(rows)


def rise_time_s(time, temp):
    """10 to 90 % of the way from before the step to the end."""
    start, end = temp[time < STEP_AT_S][-1], temp[-1]
    after = time >= STEP_AT_S
    share = (temp[after] - start) / (end - start)
    return time[after][np.argmax(share >= 0.9)] - time[after][np.argmax(share >= 0.1)]


# What valve and network do to the heating circuit: the secondary outlet is the controlled one.
PRIMARY_STEPS = {
    "flow doubled": ((0.5, 80, 1, 40), (1, 80, 1, 40)),
    "flow halved": ((1, 80, 1, 40), (0.5, 80, 1, 40)),
    "flow at part load": ((0.2, 75, 1, 32), (0.3, 75, 1, 32)),
    "supply 10 K warmer": ((1, 70, 1, 40), (1, 80, 1, 40)),
    "supply warmer at part load": ((0.4, 70, 1, 35), (0.4, 80, 1, 35)),
    "supply warmer, circuit throttled": ((1, 60, 0.5, 35), (1, 70, 0.5, 35)),
}
OTHER_STEPS = {
    "circuit return warmer": ((1, 80, 1, 35), (1, 80, 1, 40)),
    "circuit flow doubled": ((1, 80, 0.5, 40), (1, 80, 1, 40)),
    "circuit flow halved": ((1, 80, 1, 40), (1, 80, 0.5, 40)),
}


def scaled(point):
    return (point[0] * PRIMARY_KG_S, float(point[1]), point[2] * SECONDARY_KG_S, float(point[3]))


@pytest.mark.parametrize("name", [*PRIMARY_STEPS, *OTHER_STEPS])
def test_the_model_agrees_with_forty_cells(name):
    before, after = (scaled(p) for p in {**PRIMARY_STEPS, **OTHER_STEPS}[name])
    reference = cells(before, after)
    expected = rise_time_s(reference[:, 0], reference[:, 2])
    # the controlled temperature: 10 % for what comes over the primary side, 25 % for the circuit's own steps,
    # which the model takes 7 to 21 % too slowly
    share = 0.10 if name in PRIMARY_STEPS else 0.25
    for ours in (model(before, after), compiled(before, after)):
        assert ours[-1, 1:] == pytest.approx(reference[-1, 1:], abs=1.0)
        assert rise_time_s(ours[:, 0], ours[:, 2]) == pytest.approx(expected, rel=share)


def test_the_steady_state_is_the_design_point():
    # UA has 10 % reserve, so the return comes out below 45 and the supply above 55 degC at design flow
    end = model(*(scaled(p) for p in PRIMARY_STEPS["flow doubled"]))[-1]
    assert 43.5 < end[1] < 45.0 and 55.0 < end[2] < 55.7


def test_effectiveness_has_the_known_values():
    ua, c = np.array([2.0, 2.0, 1e9, 3.0, 5.0]), np.array([1.0, 1.0, 1.0, 0.0, 1.0])
    other = np.array([1.0, 1e12, 2.0, 1.0, 1.0 + 1e-9])
    # NTU/(1+NTU); 1-exp(-NTU); complete; no flow; the limit from beside it
    expected = [2.0 / 3.0, 1.0 - np.exp(-2.0), 1.0, 0.0, 5.0 / 6.0]
    assert effectiveness(ua, c, other) == pytest.approx(expected, rel=1e-8)


def test_heat_is_conserved_and_temperatures_stay_between_the_inlets():
    random = np.random.default_rng(1)
    count = 60
    exchanger = Exchangers(
        random.uniform(300.0, 4000.0, count),
        random.uniform(800.0, 6000.0, count),
        random.uniform(800.0, 6000.0, count),
        random.uniform(500.0, 4000.0, count),
        CP,
        primary_design_kg_s=0.1,
        secondary_design_kg_s=0.2,
        flow_exponent=0.7,
        initial_temp_c=40.0,
    )
    residual = scale = 0.0
    for _ in range(400):
        m1 = random.choice([0.0, 1e-6, 0.02, 0.1, 0.3], count)
        m2 = random.choice([0.0, 0.05, 0.2, 0.5], count)
        t1, t2 = random.uniform(60.0, 90.0, count), random.uniform(20.0, 50.0, count)
        before = exchanger.stored_j()
        exchanger.step(2.0, m1, t1, m2, t2)
        taken = 2.0 * CP * np.sum(m1 * (t1 - exchanger.primary_return_c))
        given = 2.0 * CP * np.sum(m2 * (exchanger.secondary_supply_c - t2))
        residual += taken - given - (exchanger.stored_j() - before)
        scale += abs(taken) + abs(given)
        for temp in (exchanger.primary_out_c, exchanger.secondary_out_c):
            # 2 % of the span of 70 K is the model's stated overshoot
            assert temp.min() > 20.0 - 1.4 and temp.max() < 90.0 + 1.4
    assert abs(residual) <= 1e-9 * scale
