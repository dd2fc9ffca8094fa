"""The furnace's physics, held against what can be known without it: conservation, direction, rest, convergence."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.gym.furnace.scenarios import SCENARIOS, varied
from environments.gym.furnace.sensors import ABSENT, Failure, Fault, Gauge, Thermocouple
from environments.gym.furnace.thermal import STEFAN_BOLTZMANN, STEP_S, Plant, State

PLANTS = [Plant(), *{scenario.plant for scenario in SCENARIOS.values()} - {Plant()}]
temperatures = st.floats(20, 1200)
states = st.tuples(*[temperatures] * 5)


def stored(plant: Plant, state: State) -> float:
    """Joules above 0 °C."""
    return sum(capacity * level for capacity, level in zip(plant.capacities, state, strict=True))


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("door_open", [False, True])
def test_what_comes_in_is_stored_or_lost_to_the_last_joule(plant: Plant, door_open: bool) -> None:
    """Each step by the rule's own weights: Simpson's, of the flows at its beginning, middle and end."""
    state, step_s = (700.0, 500.0, 80.0, 420.0, 390.0), 0.5
    lost = 0.0
    begun = state
    for _ in range(1200):
        flows = [plant.flows(state, 4000.0, door_open)]
        for _ in range(2):
            state = plant.advance(state, 4000.0, door_open, step_s / 2, step_s / 2)
            flows.append(plant.flows(state, 4000.0, door_open))
        outwards = [flow.wall_outside + flow.door for flow in flows]
        lost += step_s / 6 * (outwards[0] + 4 * outwards[1] + outwards[2])
    brought = 4000.0 * 1200 * step_s
    kept = stored(plant, state) - stored(plant, begun)
    assert math.isclose(brought, kept + lost, rel_tol=1e-9)


@given(states, st.sampled_from(PLANTS), st.floats(0, 8000), st.booleans())
def test_heat_flows_from_warm_to_cold_and_none_is_made_between_the_masses(
    state: State, plant: Plant, power: float, door_open: bool
) -> None:
    element, chamber, wall, surface, core = state
    flows = plant.flows(state, power, door_open)
    for flow, difference in (
        (flows.element_chamber, element - chamber),
        (flows.element_surface, element - surface),
        (flows.chamber_surface, chamber - surface),
        (flows.surface_core, surface - core),
        (flows.chamber_wall, chamber - wall),
        (flows.wall_outside, wall - plant.ambient),
    ):
        assert flow * difference >= 0
    change = sum(
        capacity * slope
        for capacity, slope in zip(plant.capacities, plant._slopes(state, power, door_open), strict=True)
    )
    assert math.isclose(change, power - flows.wall_outside - flows.door, rel_tol=1e-9, abs_tol=1e-6)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_furnace_at_rest_stays_at_rest(plant: Plant) -> None:
    state = plant.at_rest()
    assert plant.advance(state, 0.0, True, 3600) == state


@pytest.mark.parametrize("plant", PLANTS)
def test_without_power_everything_that_is_equally_hot_cools_without_turning(plant: Plant) -> None:
    states_ = [plant.at_rest(800.0)]
    for _ in range(120):
        states_.append(plant.advance(states_[-1], 0.0, False, 300, 10.0))
    for before, after in pairwise(states_):
        assert all(now <= then for now, then in zip(after, before, strict=True))
        assert min(after) >= plant.ambient
    assert states_[-1][1] < 200
    opened = plant.advance(plant.at_rest(500.0), 0.0, True, 600)
    closed = plant.advance(plant.at_rest(500.0), 0.0, False, 600)
    assert opened[1] < closed[1] - 50, "an open door cools"


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("power", [300.0, 2500.0])
def test_it_comes_to_rest_where_the_loss_is_the_power(plant: Plant, power: float) -> None:
    state = plant.advance(plant.at_rest(600.0), power, False, 36 * 3600, 10.0)
    assert math.isclose(plant.steady_loss(state[1]), power, rel_tol=1e-4)
    element, chamber, wall, surface, core = state
    assert abs(surface - core) < 1e-3, "no heat flows into the workpiece any more"
    assert element > surface > chamber > wall > plant.ambient


def test_a_body_that_only_radiates_follows_the_analytical_solution() -> None:
    """dT/dt = -k T⁴ into nothing has T = (T₀⁻³ + 3 k t)^(-1/3)."""
    space = replace(
        Plant(), element_chamber=0, element_chamber_area=0, element_surface_area=0, chamber_surface=0,
        chamber_surface_area=0, chamber_wall=0, wall_outside=0, wall_outside_area=0.5, ambient=-273.15,
    )  # fmt: skip
    constant = STEFAN_BOLTZMANN * 0.5 / space.wall_capacity
    state = space.advance((0.0, 0.0, 1000.0, 0.0, 0.0), 0.0, False, 3600)
    expected = (1273.15**-3 + 3 * constant * 3600) ** (-1 / 3) - 273.15
    assert math.isclose(state[2], expected, rel_tol=1e-9)


def test_the_error_falls_with_the_fourth_power_of_the_step() -> None:
    plant, start = Plant(), (900.0, 500.0, 60.0, 400.0, 380.0)
    fine = plant.advance(start, 5000.0, False, 240, STEP_S / 32)
    errors = []
    for step_s in (4 * STEP_S, 2 * STEP_S, STEP_S):
        coarse = plant.advance(start, 5000.0, False, 240, step_s)
        errors.append(max(abs(one - other) for one, other in zip(coarse, fine, strict=True)))
    for coarser, finer in pairwise(errors):
        assert 10 < coarser / finer < 24
    assert errors[-1] < 0.01, "the step that is used is fine enough"


def test_the_real_plant_is_near_the_nominal_one_and_the_seed_s() -> None:
    assert varied(Plant(), 1) == varied(Plant(), 1) != varied(Plant(), 2)
    ratio = varied(Plant(), 1).chamber_wall / Plant().chamber_wall
    assert 0.96 <= ratio <= 1.04
    assert ratio != 1


class Fixed:
    """A source of randomness that says what the test wants."""

    def __init__(self, noise: float = 0.0, chance: float = 0.5) -> None:
        self.gauss = lambda: noise
        self.random = lambda: chance


def readings(*failures: Failure, chance: float = 0.5) -> list[float]:
    """Of a thermocouple in something that gets 10 K warmer each minute."""
    made = Thermocouple(Gauge(lag_s=0.001, offset=0.5), 100.0, failures)
    values = []
    for minute in range(6):
        made.follow(100.0 + 10 * minute, 60)
        values.append(made.read(minute, Fixed(chance=chance)))  # type: ignore[arg-type]
    return values


def test_a_sensor_lags_by_its_time_constant() -> None:
    made = Thermocouple(Gauge(lag_s=30, noise=0), 0.0, ())
    made.follow(100.0, 30)
    assert math.isclose(made.read(0, Fixed()), 100 * (1 - math.exp(-1)))  # type: ignore[arg-type]
    for _ in range(10):
        made.follow(100.0, 3)  # the same in ten parts
    assert math.isclose(made.read(1, Fixed()), 100 * (1 - math.exp(-2)))  # type: ignore[arg-type]


def test_sensors_fail_as_they_are_said_to() -> None:
    sound = [100.5, 110.5, 120.5, 130.5, 140.5, 150.5]
    assert readings() == sound
    assert readings(Failure("x", Fault.STUCK, 2, 4)) == [*sound[:2], 110.5, 110.5, *sound[4:]]
    assert readings(Failure("x", Fault.DRIFT, 2, rate=-3.0)) == [*sound[:3], 127.5, 134.5, 141.5]
    assert readings(Failure("x", Fault.DROPOUT, 1, rate=0.3), chance=0.2) == [sound[0], *[ABSENT] * 5]
    assert readings(Failure("x", Fault.DROPOUT, 1, rate=0.3), chance=0.4) == sound
