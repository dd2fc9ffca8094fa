"""Runs of the furnace: good ones pay, doing nothing does not, and haste is expensive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from environments.environment import StepContext
from environments.gym import GymEnvironment
from environments.gym.furnace import env as furnace_env
from environments.gym.furnace.control import Operator
from environments.gym.furnace.env import ENV_ID, NAMES, FurnaceEnv
from environments.gym.furnace.recipe import Phase, Recipe, Segment
from environments.gym.furnace.scenarios import DIFFICULTIES, SCENARIOS, SENSORS, Scenario, drawn
from environments.gym.furnace.scoring import Score
from environments.gym.furnace.simulation import Readings, Run
from environments.gym.furnace.tasks import ENV_ID as TASKS_ENV_ID
from environments.gym.furnace.tasks import Furnace
from environments.gym.furnace.tools import TOOLS
from envserver_sdk.gymnasium import codec
from envserver_sdk.models import Outcome
from tests.unit.local_sandbox import LocalSandbox

Policy = Callable[[Readings], tuple[float, bool]]
FULL: Policy = lambda readings: (1.0, False)  # noqa: E731
NOTHING: Policy = lambda readings: (0.0, False)  # noqa: E731


def play(scenario: Scenario, seed: int, policy: Policy) -> tuple[Run, list[str]]:
    run, events = Run(scenario, seed), []
    while not run.over:
        events += run.advance(*policy(run.readings()))
    return run, events


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_good_operator_scores_nine_tenths_on_every_scenario(name: str) -> None:
    scenario = SCENARIOS[name]
    run, events = play(scenario, 1, Operator(scenario).act)
    assert events == []
    assert 0.9 <= run.score.total <= 1.0 + 1e-9
    assert run.minute == scenario.recipe.minutes


@pytest.mark.parametrize("name", SCENARIOS)
def test_doing_nothing_pays_nothing_and_full_power_costs(name: str) -> None:
    idle, events = play(SCENARIOS[name], 1, NOTHING)
    assert idle.score.total < 0.05
    assert events == []
    full, events = play(SCENARIOS[name], 1, FULL)
    assert full.score.total < 0
    assert full.score.safety <= -0.3
    assert {"emergency_stop", "crack"} & set(events)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_so_it_is_over_the_curriculum(difficulty: str) -> None:
    for seed in range(2):
        scenario = drawn(difficulty, seed)
        assert play(scenario, seed, Operator(scenario).act)[0].score.total > 0.9
    assert drawn(difficulty, 1) == drawn(difficulty, 1) != drawn(difficulty, 2)
    with pytest.raises(ValueError, match="must be one of easy, medium, hard"):
        drawn("nonsense", 1)


def test_difficulty_is_what_goes_wrong() -> None:
    counts = {
        difficulty: {
            len(each.failures) + len(each.doors) + len(each.sags)
            for each in (drawn(difficulty, seed) for seed in range(20))
        }
        for difficulty in DIFFICULTIES
    }
    assert counts == {"easy": {0}, "medium": {1}, "hard": {3}}


def test_what_is_drawn_or_heated_in_excess_costs_energy() -> None:
    scenario = SCENARIOS["harden"]
    good, _ = play(scenario, 1, Operator(scenario).act)
    operator = Operator(scenario)

    def wasteful(readings: Readings) -> tuple[float, bool]:
        power, _ = operator.act(readings)
        return power, 10 < readings.minute < 45  # the door stands open on the way up

    wasted, events = play(scenario, 1, wasteful)
    assert events == []
    assert wasted.cost > good.cost * 1.1


@pytest.mark.parametrize(("share", "worth"), [(0.5, 0.15), (1.0, 0.15), (1.4, 0.09), (2.0, 0.0), (5.0, 0.0)])
def test_energy_beyond_the_budget_costs_the_score(share: float, worth: float) -> None:
    scenario = SCENARIOS["harden"]
    score = Score(scenario)
    for minute in range(scenario.recipe.minutes):
        target = scenario.recipe.target(minute + 1)
        score.minute(minute, target, target)
    score.end(500.0, share * scenario.budget)
    assert score.components() == {
        "soak": 0.6, "follow": 0.15, "unload": 0.1, "energy": pytest.approx(worth), "safety": 0.0,
    }  # fmt: skip
    hot = Score(scenario)
    hot.soak = 0.3
    hot.end(526.0, 0.0)
    assert hot.unload == 0.0
    assert hot.energy == pytest.approx(0.075)


@pytest.mark.parametrize(("error", "share"), [(0, 1.0), (8, 1.0), (16, 0.5), (24, 0.0), (-16, 0.5), (300, 0.0)])
def test_a_soak_is_worth_what_the_worse_of_surface_and_core_is(error: float, share: float) -> None:
    scenario = SCENARIOS["harden"]
    for surface, core in ((850 + error, 850), (850, 850 + error)):
        score = Score(scenario)
        score.minute(130, surface, core)
        assert score.soak == pytest.approx(0.6 * share / 45)


def test_each_danger_has_its_price_and_its_name() -> None:
    scenario = SCENARIOS["harden"]
    operator = Operator(scenario)

    def careless(readings: Readings) -> tuple[float, bool]:
        return operator.act(readings)[0], readings.minute in (90, 95)

    run, events = play(scenario, 1, careless)
    assert events == ["hot_door", "hot_door"]
    assert run.score.safety == pytest.approx(-0.2)
    fragile, events = play(SCENARIOS["fragile"], 1, FULL)
    assert events == ["crack"]
    assert (fragile.score.soak, fragile.score.follow, fragile.score.safety) == (0.0, 0.0, -0.3)
    assert fragile.minute < SCENARIOS["fragile"].recipe.minutes


def test_power_answers_after_its_delay_and_not_before() -> None:
    for delay_s, expected in ((0, 1.0), (30, 0.5), (60, 0.0)):
        run = Run(Scenario("", Recipe(22, (Segment(500, 10),)), delay_s=delay_s), 0)
        run.advance(1.0, False)
        assert run.energy_kwh == pytest.approx(expected * run.plant.max_power * 60 / 3.6e6)


def test_a_weak_supply_and_an_interlock_take_power_away() -> None:
    run = Run(Scenario("", Recipe(22, (Segment(500, 60),)), delay_s=0, sags=((0, 1, 0.5),), limit=60.0), 0)
    run.advance(1.0, False)
    assert run.readings().power == 0.5
    while not run.interlock:
        run.advance(1.0, False)
    run.advance(1.0, False)
    assert run.readings().power == 0.0
    assert run.trips == 1


def test_a_recipe_is_a_line_with_corners() -> None:
    recipe = Recipe(20.0, (Segment(120, 10, 5, 20), Segment(40, 8)))
    assert [recipe.target(minute) for minute in (-1, 0, 5, 10, 34, 39, 43, 99)] == [20, 20, 70, 120, 120, 80, 40, 40]
    assert [recipe.phase(minute) for minute in (0, 9, 10, 15, 34, 35, 42)] == [
        Phase.RAMP, Phase.RAMP, Phase.EQUALISE, Phase.SOAK, Phase.SOAK, Phase.COOL, Phase.COOL,
    ]  # fmt: skip
    assert (recipe.minutes, recipe.count(Phase.SOAK), recipe.top) == (43, 20, 120)


def test_it_is_a_gymnasium_environment() -> None:
    env = gymnasium.make(ENV_ID, scenario="everything")
    check_env(env.unwrapped, skip_render_check=True)
    with pytest.raises(ValueError, match="must be one of harden, "):
        gymnasium.make(ENV_ID, scenario="nonsense")


def test_one_seed_is_one_run_and_another_one_another() -> None:
    def first_minutes(seed: int) -> list[list[float]]:
        env = FurnaceEnv("everything")
        first = env.reset(seed=seed)[0]
        powers = (np.array([minute % 3 / 2, 0], np.float32) for minute in range(60))
        return [first.tolist(), *(env.step(power)[0].tolist() for power in powers)]

    assert first_minutes(1) == first_minutes(1) != first_minutes(2)


def test_the_rewards_add_up_to_the_score_and_observations_say_what_they_are_called() -> None:
    env = FurnaceEnv("harden")
    observation, info = env.reset(seed=3)
    operator = Operator(SCENARIOS["harden"])
    total, over = 0.0, False
    while not over:
        named = dict(zip(NAMES, observation.tolist(), strict=True))
        sensors = {name: named[name] for name in SENSORS}
        readings = Readings(
            round(named["minute"]), sensors, named["power"], named["door"] > 0, named["interlock"] > 0, named["price"]
        )
        power, door = operator.act(readings)
        observation, reward, over, truncated, info = env.step(np.array([power, door], np.float32))
        assert observation in env.observation_space
        assert not truncated
        total += reward
    assert total == pytest.approx(sum(info["components"].values()), abs=1e-4)
    assert total > 0.9, "what an agent sees is enough to play well"


# The tools


def furnace(name: str, seed: int = 1) -> FurnaceEnv:
    env = FurnaceEnv(name)
    env.reset(seed=seed)
    return env


def test_a_recipe_can_be_run_well_by_tools_alone() -> None:
    env = furnace("harden")
    total = 0.0

    def use(name: str, **arguments: Any) -> tuple[str, bool]:
        nonlocal total
        said, (_, reward, over, _, _) = env.call(name, arguments)
        total += reward
        return said, over

    use("set_ramp", target_c=850, rate_k_per_min=8.2)
    for _ in range(8):
        use("wait", minutes=20)
    said, over = use("set_ramp", target_c=500, rate_k_per_min=5)
    while not over:
        said, over = use("wait", minutes=30)
    assert said.splitlines()[-1].startswith("The run is over: 0.")
    assert total > 0.9


def test_waiting_ends_when_something_happens() -> None:
    env = furnace("harden")
    env.call("set_power", {"percent": 100})
    said = ""
    for _ in range(4):
        said, _ = env.call("wait", {"minutes": 60})
        if "interlock has cut" in said:
            break
    assert said.splitlines()[-1].startswith("The interlock has cut the power")
    assert env._run.minute < 120


def test_commands_stand_and_cost_no_time() -> None:
    env = furnace("harden")
    one, (_, reward, *_) = env.call("read_sensors", {})
    assert env.call("read_sensors", {})[0] == one, "a minute has one reading"
    assert (reward, env._run.minute) == (0.0, 0)
    env.call("set_door", {"open": True})
    assert " open " in env.call("wait", {"minutes": 1})[0]
    assert env.call("read_recipe", {})[0].startswith("Run a chamber furnace. Harden a steel block")
    said, (_, _, over, _, info) = env.call("finish", {})
    assert over
    assert "The run is over: 0.0" in said
    assert info["components"]["soak"] == 0


def test_the_tasks_are_the_scenarios_and_the_curriculum_and_give_nothing_away() -> None:
    tasks = Furnace()
    assert list(tasks.task_ids("test")) == list(SCENARIOS)
    assert list(tasks.task_ids("train")) == list(DIFFICULTIES)
    assert len(SCENARIOS) >= 10
    assert TASKS_ENV_ID == ENV_ID
    for name in tasks.task_ids():
        task = tasks.get(name)
        assert task.public["tools"] == list(TOOLS)
        for secret in ("stops moving", "lower and lower", "Loose contacts", "looks in", "lying"):
            assert secret not in task.prompt
    assert "Minutes 104 to 119" not in tasks.get("harden").prompt
    assert "Minutes 0 to 104: from 22 °C to 850 °C, evenly (8.0 K/min)." in tasks.get("harden").prompt
    with pytest.raises(KeyError):
        tasks.get("nonsense")


async def test_a_furnace_in_a_sandbox_is_operated_by_its_tools(sandbox: LocalSandbox) -> None:
    environment = GymEnvironment()
    await environment.reset(sandbox, Furnace().get("stuck-sensor"), 3, {})
    assert [tool["name"] for tool in environment.tools()] == [tool["name"] for tool in TOOLS]

    async def call(name: str, **arguments: Any) -> Any:
        return await environment.step(environment.call(name, arguments), StepContext(20))

    assert (await call("set_ramp", target_c=850, rate_k_per_min=8)).outcome is Outcome.OK
    waited = await call("wait", minutes=30)
    assert waited.observation["result"].startswith("minute target chamber_a")
    assert waited.reward > 0
    assert codec.decode(waited.observation["observation"])[NAMES.index("minute")] == 30
    for name, arguments, right in (
        ("fly", {}, "there is no tool 'fly'; there are read_recipe, read_sensors"),
        ("wait", {}, "needs the argument 'minutes': an integer from 1 to 60"),
        ("wait", {"minutes": 61}, "right is an integer from 1 to 60"),
        ("wait", {"minutes": True}, "right is an integer from 1 to 60"),
        ("wait", {"minutes": 1, "hours": 1}, "has no argument 'hours'; it takes minutes"),
        ("set_door", {"open": 1}, "right is a boolean"),
        ("set_power", {"percent": "50"}, "right is a number from 0 to 100"),
    ):
        refused = await call(name, **arguments)
        assert refused.outcome is Outcome.FORMAT_ERROR
        assert right in refused.observation["error"]
    ended = await environment.step(environment.answer("I am done."), StepContext(20))
    assert ended.terminated
    facts = (await environment.artifacts()).facts
    assert facts["score"] == (0.0, 1.0)
    assert facts["tally"]["ended_return"] == pytest.approx(waited.reward + ended.reward)


def test_the_sandbox_gets_the_furnace_s_files_whole() -> None:
    assert furnace_env.__name__ == GymEnvironment.sources[-1]
