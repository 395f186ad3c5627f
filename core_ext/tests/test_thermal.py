"""Plug flow keeps the energy, cools as the formula says, reverses, and agrees with a plain NumPy twin."""

import threading
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ext.network import BadNetwork, Network
from core_ext.simd import SUPPORTED
from core_ext.thermal import BadTransport, ThermalTransport, TransportBusy


def line(lengths, diameter=0.05, loss=0.3, **more):
    """Pipes in a row n0 -> n1 -> ..."""
    count = len(lengths)
    return {
        "nodes": {"id": [f"n{i}" for i in range(count + 1)]},
        "pipes": {
            "id": [f"p{i}" for i in range(count)],
            "from_node": [f"n{i}" for i in range(count)],
            "to_node": [f"n{i + 1}" for i in range(count)],
            "length_m": lengths,
            "inner_diameter_m": [diameter] * count,
            "linear_loss_w_mk": [loss] * count,
            **more,
        },
    }


def run(transport, steps, dt_s, flow, inflow):
    """Advance and return the residual of the energy balance over all steps, J, and the entered energy."""
    before = transport.stored_j
    residual = 0.0
    scale = 0.0
    for _ in range(steps):
        transport.step(dt_s, flow, inflow)
        residual += transport.entered_j - transport.left_j - transport.loss_j
        scale += abs(transport.entered_j) + abs(transport.left_j)
    return residual - (transport.stored_j - before), scale


def test_the_steady_temperature_falls_exponentially_along_the_pipe():
    lengths = [120.0, 7.0, 0.4, 300.0]
    transport = ThermalTransport(line(lengths), ground_temp_c=8.0)
    flow = np.full(4, 0.5)
    inflow = np.full(5, np.nan)
    inflow[0] = 80.0
    for _ in range(2500):
        transport.step(2.0, flow, inflow)
    distance = np.concatenate([[0.0], np.cumsum(lengths)])
    exact = 8.0 + 72.0 * np.exp(-0.3 * distance / (0.5 * transport.heat_capacity_j_kgk))
    assert transport.node_temp_c == pytest.approx(exact, abs=2e-4)


def test_sixty_second_steps_stay_within_two_millikelvin():
    lengths = [150.0, 80.0, 220.0]
    transport = ThermalTransport(line(lengths, diameter=0.1), ground_temp_c=6.0)
    flow = np.full(3, 3.0)
    inflow = np.array([90.0, np.nan, np.nan, np.nan])
    for _ in range(200):
        transport.step(60.0, flow, inflow)
    distance = np.concatenate([[0.0], np.cumsum(lengths)])
    exact = 6.0 + 84.0 * np.exp(-0.3 * distance / (3.0 * transport.heat_capacity_j_kgk))
    assert transport.node_temp_c == pytest.approx(exact, abs=2e-3)


def test_without_a_wall_a_front_stays_sharp():
    transport = ThermalTransport(line([100.0], loss=0.0), initial_temp_c=40.0, wall_heat_capacity_j_mk=0.0)
    arrival_s = transport.effective_mass_kg[0] / 0.25
    inflow = np.array([80.0, np.nan])
    steps = round(2 * arrival_s)
    outlet = np.array([transport.step(1.0, np.array([0.25]), inflow)[1] for _ in range(steps)])
    times = np.arange(steps) + 0.5
    assert outlet[times < arrival_s - 1.0] == pytest.approx(40.0)
    assert outlet[times > arrival_s + 1.0] == pytest.approx(80.0)


def test_the_wall_delays_a_front_by_its_heat_capacity():
    transport = ThermalTransport(line([100.0], loss=0.0), initial_temp_c=40.0, wall_heat_capacity_j_mk=1500.0)
    water_kg = transport.density_kg_m3 * np.pi / 4 * 0.05**2 * 100.0
    delay_s = (water_kg + 100.0 * 1500.0 / transport.heat_capacity_j_kgk) / 0.25
    inflow = np.array([80.0, np.nan])
    outlet = np.array([transport.step(1.0, np.array([0.25]), inflow)[1] for _ in range(4000)])
    assert np.sum(80.0 - outlet) / 40.0 == pytest.approx(delay_s, rel=1e-7)
    assert delay_s > 1.1 * water_kg / 0.25


def test_standing_water_cools_towards_the_ground():
    transport = ThermalTransport(
        line([50.0], loss=0.4), initial_temp_c=70.0, ground_temp_c=10.0, wall_heat_capacity_j_mk=0.0
    )
    for _ in range(3600):
        transport.step(2.0, np.zeros(1))
    rate = 0.4 * 50.0 / (transport.effective_mass_kg[0] * transport.heat_capacity_j_kgk)
    exact = 10.0 + 60.0 * np.exp(-rate * 7200.0)
    assert transport.pipe_mean_temp_c()[0] == pytest.approx(exact, abs=1e-9)
    assert transport.node_temp_c == pytest.approx([exact, exact], abs=1e-9)


def test_water_that_turns_round_comes_back():
    transport = ThermalTransport(line([40.0], loss=0.0), initial_temp_c=50.0, wall_heat_capacity_j_mk=0.0)
    mass = transport.effective_mass_kg[0]
    forward, back = np.array([0.4]), np.array([-0.4])
    steps = int(0.5 * mass / 0.4)
    for _ in range(steps):
        transport.step(1.0, forward, np.array([80.0, np.nan]))
    masses, temps = transport.parcels(0)
    assert temps[0] == pytest.approx(80.0) and temps[-1] == pytest.approx(50.0)
    for _ in range(steps):
        temps = transport.step(1.0, back, np.array([np.nan, 30.0]))
        assert temps[0] == pytest.approx(80.0)  # the hot half leaves first, unmixed
    assert transport.step(1.0, back, np.array([np.nan, 30.0]))[0] == pytest.approx(50.0)
    assert masses.sum() == pytest.approx(mass)


def test_a_node_mixes_by_flow():
    net = line([10.0, 10.0, 10.0], loss=0.0)
    net["pipes"]["from_node"] = ["n0", "n1", "n2"]
    net["pipes"]["to_node"] = ["n2", "n2", "n3"]
    transport = ThermalTransport(net)
    flow = np.array([0.3, 0.1, 0.4])
    inflow = np.array([80.0, 40.0, np.nan, np.nan])
    for _ in range(1000):
        transport.step(2.0, flow, inflow)
    assert transport.node_temp_c[3] == pytest.approx(70.0, abs=1e-6)


def test_links_without_volume_pass_the_water_on():
    net = Network(
        nodes={"id": ["a", "b", "c", "d"]},
        pipes={
            "id": ["p", "q"],
            "from_node": ["a", "c"],
            "to_node": ["b", "d"],
            "length_m": [5.0, 5.0],
            "inner_diameter_m": [0.05, 0.05],
        },
        valves={"id": ["v"], "from_node": ["b"], "to_node": ["c"], "kv_m3_h": [10.0]},
    )
    transport = ThermalTransport(net, initial_temp_c=20.0)
    flows = {"pipes": np.array([0.5, 0.5]), "valves": np.array([0.5])}
    for _ in range(200):
        transport.step(2.0, flows, np.array([75.0, np.nan, np.nan, np.nan]))
    assert transport.node_temp_c[3] == pytest.approx(75.0, abs=1e-6)


def random_tree(random, nodes):
    parents = [int(random.integers(0, i)) for i in range(1, nodes)]
    return {
        "nodes": {"id": list(range(nodes))},
        "pipes": {
            "id": list(range(1, nodes)),
            "from_node": parents,
            "to_node": list(range(1, nodes)),
            "length_m": random.uniform(0.2, 60.0, nodes - 1),
            "inner_diameter_m": random.uniform(0.02, 0.1, nodes - 1),
            "linear_loss_w_mk": random.uniform(0.0, 0.5, nodes - 1),
        },
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_energy_closes_with_changing_and_reversing_flows(seed):
    random = np.random.default_rng(seed)
    transport = ThermalTransport(random_tree(random, 12), initial_temp_c=50.0, parcels=6)
    residual = scale = 0.0
    for _ in range(40):
        flow = random.choice([0.0, 1.0, 1.0, -1.0], 11) * random.uniform(0.0, 2.0, 11)
        part, size = run(transport, 5, float(random.uniform(0.5, 60.0)), flow, random.uniform(20, 90, 12))
        residual += part
        scale += size
    assert abs(residual) <= 1e-10 * scale
    assert transport.node_temp_c.min() >= 8.0 - 1e-9 and transport.node_temp_c.max() <= 90.0 + 1e-9


def test_energy_closes_in_a_loop_of_flow():
    net = line([3.0, 4.0, 5.0, 6.0])
    net["nodes"]["id"] = ["n0", "n1", "n2", "n3"]
    net["pipes"]["to_node"] = ["n1", "n2", "n3", "n1"]  # n1 -> n2 -> n3 -> n1 is a loop
    transport = ThermalTransport(net, initial_temp_c=60.0)
    flow = np.array([0.2, 0.9, 0.9, 0.7])  # 0.2 kg/s enter at n0 and leave at n3
    residual, scale = run(transport, 500, 2.0, flow, np.array([85.0, np.nan, np.nan, np.nan]))
    assert abs(residual) <= 1e-10 * scale
    assert 60.0 < transport.node_temp_c[3] < 85.0


def twin_outlet(mass_kg, rate, dt_s, flows, temps_in, ground, initial):
    """Mean outlet temperature of a pipe in each step by characteristics: when did what leaves come in?"""
    moved = np.concatenate([[0.0], np.cumsum(flows) * dt_s])
    times = np.arange(len(moved)) * dt_s
    points, weights = np.polynomial.legendre.leggauss(6)
    out = []
    for step, flow in enumerate(flows):
        low, high = moved[step] - mass_kg, moved[step + 1] - mass_kg
        cuts = np.concatenate([[low], moved[(moved > low) & (moved < high)], [high]])
        heat = 0.0
        for a, b in pairwise(cuts):
            entered = 0.5 * (a + b) + 0.5 * (b - a) * points
            leaves_s = times[step] + (entered + mass_kg - moved[step]) / flow
            if a < 0.0:
                temp = ground + (initial - ground) * np.exp(-rate * leaves_s)
            else:
                temp_in = temps_in[np.searchsorted(moved, 0.5 * (a + b)) - 1]
                temp = ground + (temp_in - ground) * np.exp(
                    -rate * (leaves_s - np.interp(entered, moved, times))
                )
            heat += 0.5 * (b - a) * np.dot(weights, temp)
        out.append(heat / (high - low))
    return np.array(out)


def test_the_kernel_agrees_with_the_method_of_characteristics():
    random = np.random.default_rng(7)
    transport = ThermalTransport(
        line([60.0], loss=0.5),
        initial_temp_c=55.0,
        ground_temp_c=7.0,
        wall_heat_capacity_j_mk=0.0,
        parcels=4000,
        merge_k=0.0,
    )
    mass = transport.effective_mass_kg[0]
    rate = 0.5 * 60.0 / (mass * transport.heat_capacity_j_kgk)
    flows, temps = random.uniform(0.05, 0.6, 600), random.uniform(40.0, 90.0, 600)
    mine = [
        transport.step(10.0, np.array([m]), np.array([t, np.nan]))[1]
        for m, t in zip(flows, temps, strict=True)
    ]
    twin = twin_outlet(mass, rate, 10.0, flows, temps, 7.0, 55.0)
    assert np.array(mine) == pytest.approx(twin, abs=2e-6)


def test_few_parcels_cost_little_accuracy():
    random = np.random.default_rng(8)
    flows = np.repeat(random.uniform(0.05, 0.6, 60), 10)
    temps = 65.0 + 10.0 * np.sin(np.arange(600) / 40.0)
    transport = ThermalTransport(
        line([60.0], loss=0.5), initial_temp_c=65.0, ground_temp_c=7.0, wall_heat_capacity_j_mk=0.0
    )
    mass = transport.effective_mass_kg[0]
    rate = 0.5 * 60.0 / (mass * transport.heat_capacity_j_kgk)
    mine = [
        transport.step(10.0, np.array([m]), np.array([t, np.nan]))[1]
        for m, t in zip(flows, temps, strict=True)
    ]
    twin = twin_outlet(mass, rate, 10.0, flows, temps, 7.0, 65.0)
    assert np.array(mine) == pytest.approx(twin, abs=0.05)


def test_two_runs_are_bitwise_equal():
    def once():
        random = np.random.default_rng(3)
        transport = ThermalTransport(random_tree(random, 30), initial_temp_c=50.0)
        for _ in range(200):
            transport.step(2.0, random.normal(0.0, 0.3, 29), random.uniform(40.0, 90.0, 30))
        return transport.node_temp_c.tobytes()

    assert once() == once()


def test_a_step_allocates_nothing_of_the_networks_size():
    random = np.random.default_rng(5)
    transport = ThermalTransport(random_tree(random, 5000), initial_temp_c=50.0)
    flow, inflow = random.uniform(0.0, 1.0, 4999), np.full(5000, 70.0)
    transport.step(2.0, flow, inflow)
    tracemalloc.start()
    for _ in range(5):
        transport.step(2.0, flow, inflow)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4000  # one byte for each pipe would already be more


def test_two_threads_cannot_step_one_transport():
    random = np.random.default_rng(6)
    transport = ThermalTransport(random_tree(random, 20000), initial_temp_c=50.0)
    flow = random.uniform(0.0, 1.0, 19999)
    refused = threading.Event()

    def step_until_refused():
        for _ in range(2000):
            if refused.is_set():
                return
            try:
                transport.step(2.0, flow, 70.0)
            except TransportBusy:
                refused.set()

    threads = [threading.Thread(target=step_until_refused) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused.is_set()


def test_bad_input_is_refused_and_changes_nothing():
    transport = ThermalTransport(line([10.0]), initial_temp_c=60.0)
    before = transport.stored_j
    with pytest.raises(BadTransport, match="positive number of seconds"):
        transport.step(0.0, np.array([0.1]))
    with pytest.raises(BadTransport, match="3 values for the 1 rows"):
        transport.step(1.0, {"pipes": np.zeros(3)})
    with pytest.raises(BadTransport, match="not finite"):
        transport.step(1.0, np.array([np.nan]))
    assert transport.stored_j == before
    broken = line([10.0])
    broken["pipes"]["to_node"] = ["nowhere"]
    with pytest.raises(BadNetwork, match="nowhere"):
        ThermalTransport(broken)
    with pytest.raises(BadTransport, match="inner_diameter_m"):
        ThermalTransport(line([10.0], diameter=-1.0))


@pytest.mark.parametrize("level", SUPPORTED)
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_energy_closes_through_reversals_walls_and_circles(level, seed):
    """A meshed network whose flows change at every step and turn round, with standing times and a ground
    that changes; what is counted is all that came in and went out."""
    random = np.random.default_rng(seed)
    nodes, links = 10, 18
    net = random_tree(random, nodes)
    pipes = net["pipes"]
    extra = links - (nodes - 1)
    pipes["id"] = list(range(links))
    pipes["from_node"] = list(pipes["from_node"]) + random.integers(0, nodes, extra).tolist()
    pipes["to_node"] = list(pipes["to_node"]) + random.integers(0, nodes, extra).tolist()
    for name, low, high in (
        ("length_m", 0.2, 80.0),
        ("inner_diameter_m", 0.02, 0.2),
        ("linear_loss_w_mk", 0.0, 2.0),
    ):
        pipes[name] = random.uniform(low, high, links)
    transport = ThermalTransport(net, initial_temp_c=50.0, parcels=8, level=level)
    residual = scale = 0.0
    start = transport.stored_j
    for k in range(200):
        flow = random.choice([0.0, 1.0, 1.0, -1.0], links) * random.uniform(0.0, 2.0, links)
        ground = random.uniform(0.0, 20.0, links) if k % 50 == 49 else None
        transport.step(
            float(random.choice([1.0, 30.0, 60.0, 3600.0])), flow, random.uniform(20, 90, nodes), ground
        )
        residual += transport.entered_j - transport.left_j - transport.loss_j
        scale += abs(transport.entered_j) + abs(transport.left_j)
    assert abs(residual - (transport.stored_j - start)) <= 1e-10 * scale
    # the parcels, which decide what flows out, hold the energy that is accounted
    means = transport.pipe_mean_temp_c()
    for pipe in range(links):
        masses, temps = transport.parcels(pipe)
        assert masses.sum() == pytest.approx(transport.effective_mass_kg[pipe], rel=1e-9)
        assert np.dot(masses, temps) / masses.sum() == pytest.approx(means[pipe], abs=1e-5)
    assert np.isfinite(transport.node_temp_c).all()


@pytest.mark.parametrize("level", SUPPORTED)
def test_levels_agree_to_rounding(level):
    random = np.random.default_rng(12)
    net = random_tree(random, 40)
    both = [ThermalTransport(net, initial_temp_c=50.0, level=name) for name in ("baseline", level)]
    for k in range(300):
        flow = random.uniform(0.05, 1.0, 39) * (1.0 if k % 100 else -1.0)
        inflow = random.uniform(60.0, 80.0, 40)
        first, second = (transport.step(20.0, flow, inflow) for transport in both)
        assert second == pytest.approx(first, abs=1e-7)
    assert both[1].stored_j == pytest.approx(both[0].stored_j, rel=1e-11)


@pytest.mark.parametrize("level", SUPPORTED)
@pytest.mark.parametrize("circle", [False, True])
def test_the_rows_order_of_pipes_does_not_matter(level, circle):
    """More pipes than are taken through a step together, shuffled, some turned; their places change when the
    water turns round, and what they hold goes along."""
    random = np.random.default_rng(5)
    nodes = 200
    net = random_tree(random, nodes)
    pipes = net["pipes"]
    # one more pipe closes a circle, which water goes round in when that pipe runs against the others
    pipes["id"], pipes["from_node"] = [*pipes["id"], nodes], [*pipes["from_node"], nodes - 1]
    pipes["to_node"] = [*pipes["to_node"], 0]
    for name in ("length_m", "inner_diameter_m", "linear_loss_w_mk"):
        pipes[name] = np.append(pipes[name], pipes[name].mean())
    order = random.permutation(nodes)
    shuffled = {"nodes": net["nodes"], "pipes": {name: np.asarray(v)[order] for name, v in pipes.items()}}
    plain, other = (ThermalTransport(n, initial_temp_c=50.0, level=level) for n in (net, shuffled))
    for k in range(90):
        flow = random.uniform(0.05, 1.0, nodes) * (-1.0 if 30 <= k < 60 else 1.0)
        flow[-1] *= circle * (-1.0 if k % 2 else 1.0)
        inflow = random.uniform(60.0, 80.0, nodes)
        plain.step(20.0, flow, inflow)
        other.step(20.0, flow[order], inflow)
        assert other.node_temp_c == pytest.approx(plain.node_temp_c, abs=1e-9)
    assert other.pipe_mean_temp_c() == pytest.approx(plain.pipe_mean_temp_c()[order], abs=1e-9)
    assert other.left_j == pytest.approx(plain.left_j, rel=1e-11)
    assert other.loss_j == pytest.approx(plain.loss_j, rel=1e-9)
    for row in range(0, nodes, 17):
        for mine, theirs in zip(other.parcels(row), plain.parcels(int(order[row])), strict=True):
            assert mine == pytest.approx(theirs, abs=1e-8)


@pytest.mark.parametrize("dt_s", [1.0, 60.0, 1800.0])
def test_loss_is_what_a_steady_pipe_gives_to_the_ground(dt_s):
    """Closed form, and not from the balance: m cp (T in - T out) with T out by the exponential."""
    transport = ThermalTransport(line([80.0, 45.0], diameter=0.03, loss=0.5), ground_temp_c=4.0)
    flow, inflow = np.full(2, 0.15), np.array([88.0, np.nan, np.nan])
    for _ in range(max(20, int(40_000 / dt_s))):
        transport.step(dt_s, flow, inflow)
    cp = transport.heat_capacity_j_kgk
    out = 4.0 + 84.0 * np.exp(-0.5 * 125.0 / (0.15 * cp))
    assert transport.node_temp_c[2] == pytest.approx(out, abs=1e-9)
    assert transport.loss_j / dt_s == pytest.approx(0.15 * cp * (88.0 - out), rel=1e-9)


def test_a_creeping_flow_cools_by_the_exact_exponential():
    """Down to flows that need days for a pipe; there the walls' own cooling is faster than the water."""
    for flow_kg_s in (1.0, 1e-1, 1e-2, 2e-3, 5e-4, 1e-5):
        transport = ThermalTransport(
            line([50.0], diameter=0.0217, loss=0.15), ground_temp_c=8.0, initial_temp_c=80.0
        )
        steps = int(min(3.0 * transport.effective_mass_kg[0] / flow_kg_s + 40_000.0, 4e6) / 600.0)
        for _ in range(steps):
            transport.step(600.0, np.array([flow_kg_s]), np.array([80.0, np.nan]))
        exact = 8.0 + 72.0 * np.exp(-0.15 * 50.0 / (flow_kg_s * transport.heat_capacity_j_kgk))
        assert transport.node_temp_c[1] == pytest.approx(exact, abs=2e-3)


def test_standing_water_and_its_wall_cool_together():
    transport = ThermalTransport(line([50.0], loss=0.4), initial_temp_c=70.0, ground_temp_c=10.0)
    stored = transport.stored_j
    for _ in range(3600):
        transport.step(2.0, np.zeros(1))
    rate = 0.4 * 50.0 / (transport.effective_mass_kg[0] * transport.heat_capacity_j_kgk)
    exact = 10.0 + 60.0 * np.exp(-rate * 7200.0)
    assert transport.pipe_mean_temp_c()[0] == pytest.approx(exact, abs=1e-9)
    assert transport.node_temp_c == pytest.approx([exact, exact], abs=1e-9)
    lost = transport.effective_mass_kg[0] * transport.heat_capacity_j_kgk * (70.0 - exact)
    assert stored - transport.stored_j == pytest.approx(lost, rel=1e-9)


def test_a_changed_ground_is_felt_by_standing_water():
    transport = ThermalTransport(line([50.0], loss=0.4), initial_temp_c=70.0, ground_temp_c=10.0)
    rate = 0.4 * 50.0 / (transport.effective_mass_kg[0] * transport.heat_capacity_j_kgk)
    exact = 70.0
    for ground in (10.0, 2.0, 15.0):
        transport.step(60.0, np.zeros(1), ground_temp_c=ground)
        for _ in range(119):
            transport.step(60.0, np.zeros(1))
        exact = ground + (exact - ground) * np.exp(-rate * 7200.0)
    assert transport.node_temp_c == pytest.approx([exact, exact], abs=1e-9)


def test_water_that_enters_where_as_much_leaves_is_mixed():
    """One node takes in return water of a house while its pipes bring other water: both leave as one."""
    transport = ThermalTransport(line([10.0], loss=0.0), initial_temp_c=50.0, wall_heat_capacity_j_mk=0.0)
    given = np.array([0.0, 0.3])
    temps = transport.step(1.0, np.array([0.1]), np.array([50.0, 30.0]), inflow_kg_s=given)
    assert temps[1] == pytest.approx((0.1 * 50.0 + 0.3 * 30.0) / 0.4)
    cp = transport.heat_capacity_j_kgk
    assert transport.entered_j == pytest.approx(cp * (0.1 * 50.0 + 0.3 * 30.0))
    assert transport.left_j == pytest.approx(cp * 0.4 * 35.0)
    temps = transport.step(1.0, np.array([0.1]), np.array([50.0, 30.0]))
    assert temps[1] == pytest.approx(50.0)
    with pytest.raises(BadTransport, match="negative"):
        transport.step(1.0, np.array([0.1]), inflow_kg_s=[0.0, -0.1])


def test_a_refused_step_leaves_the_ground_as_it_was():
    transport = ThermalTransport(line([10.0]), initial_temp_c=60.0, ground_temp_c=8.0)
    for flow, inflow in ((np.array([np.inf]), 70.0), (np.array([0.1]), [np.inf, 70.0])):
        with pytest.raises(BadTransport):
            transport.step(60.0, flow, inflow, ground_temp_c=30.0)
    twin = ThermalTransport(line([10.0]), initial_temp_c=60.0, ground_temp_c=8.0)
    assert transport.step(60.0, np.zeros(1)).tolist() == twin.step(60.0, np.zeros(1)).tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_water_gets_warmer_than_what_came_in(seed):
    """Flows over seventeen powers of ten, steps of milliseconds to months, pipes without volume, circles, few
    parcels: with a ground that stays as it is every temperature lies between the coldest and the warmest."""
    random = np.random.default_rng(seed)
    nodes, links = int(random.integers(2, 12)), int(random.integers(1, 20))
    net = {
        "nodes": {"id": list(range(nodes))},
        "pipes": {
            "id": list(range(links)),
            "from_node": random.integers(0, nodes, links).tolist(),
            "to_node": random.integers(0, nodes, links).tolist(),
            "length_m": np.where(random.random(links) < 0.1, 0.0, 10.0 ** random.uniform(-3, 4, links)),
            "inner_diameter_m": 10.0 ** random.uniform(-3, 0, links),
            "linear_loss_w_mk": np.where(
                random.random(links) < 0.2, 0.0, 10.0 ** random.uniform(-3, 3, links)
            ),
        },
    }
    transport = ThermalTransport(
        net,
        initial_temp_c=random.uniform(20, 90, links),
        ground_temp_c=random.uniform(0, 20, links),
        parcels=int(random.integers(2, 20)),
    )
    for _ in range(60):
        flow = random.choice([0.0, 1.0, 1.0, -1.0], links) * 10.0 ** random.uniform(-13, 4, links)
        temps = transport.step(float(10.0 ** random.uniform(-3, 7)), flow, random.uniform(20, 90, nodes))
        assert temps.min() >= -1e-6 and temps.max() <= 90.0 + 1e-6
        means = transport.pipe_mean_temp_c()
        assert means.min() >= -1e-6 and means.max() <= 90.0 + 1e-6
