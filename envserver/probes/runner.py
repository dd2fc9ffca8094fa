"""Runs the catalogue against a runtime: makes the sandboxes, watches a neighbour meanwhile, and judges the outcomes.

Harmless to the machine: whatever exhausts something does so within its sandbox's small limits, and what a missing
control would let through is bounded by the probe itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from envserver.probes import channel, leakage, requests
from envserver.probes.base import Place, Probe, Result
from envserver.probes.catalogue import CATALOGUE
from envserver.probes.report import Neighbour, Report
from envserver.probes.stage import QUIET, SMALL, NotApplicableError, Stage
from envserver.runtimes.base import USER_UID, Command, Runtime, Sandbox

_BATCH_TIMEOUT_S, _ONE_TIMEOUT_S = 90.0, 30.0
_STEP_INTERVAL_S = 0.05
OUTSIDE = {**leakage.PROBES, **channel.PROBES, **requests.PROBES}


@dataclass(frozen=True)
class Settings:
    """What is run, and how."""

    names: Collection[str] = field(default_factory=lambda: tuple(CATALOGUE))
    image: str = "code"
    """Needs Python, and the usual tools of a shell."""
    user: int = USER_UID
    rlimits: Mapping[str, int] = field(default_factory=dict)


def _nothing() -> None:
    return


async def run(
    runtime: Runtime, run_directory: Path | None, settings: Settings = Settings(), told: Callable[[], None] = _nothing
) -> Report:
    """Try each of the settings' probes; `told` is called once for each.

    Raises: SandboxError when a sandbox cannot be made; KeyError for a name that no probe has.
    """
    began = time.monotonic()
    probes = [CATALOGUE[name] for name in settings.names]
    stage = Stage(runtime, run_directory, settings.image, settings.user, dict(settings.rlimits))
    neighbour = Neighbour()
    try:
        with _listener():
            outcomes = await _quiet(stage, _of(probes, Place.QUIET))
        worn = await _worn(stage, _of(probes, Place.WORN), neighbour)
        for _ in range(len(outcomes) + len(worn)):
            told()
        results = [_judged(CATALOGUE[name], runtime.name, said) for name, said in {**outcomes, **worn}.items()]
        for probe in probes:
            if probe.place is Place.OUTSIDE:
                results.append(await _outside(stage, probe))
                told()
    finally:
        await stage.close()
    order = {name: number for number, name in enumerate(CATALOGUE)}
    results.sort(key=lambda result: order[result.probe.name])
    return Report(runtime.name, tuple(results), neighbour, time.monotonic() - began)


def _of(probes: Iterable[Probe], place: Place) -> list[str]:
    return [probe.name for probe in probes if probe.place is place]


def _judged(probe: Probe, runtime: str, outcome: str) -> Result:
    return Result(probe, outcome, outcome in probe.passing(runtime))


@contextlib.contextmanager
def _listener() -> Iterator[None]:
    """An abstract socket of the server's, to be looked for."""
    with socket.socket(socket.AF_UNIX) as listener:
        with contextlib.suppress(OSError):  # another run's has the name: as good
            listener.bind("\0envserver-probe")
            listener.listen()
        yield


# --- inside -------------------------------------------------------------------------------------------------


async def _quiet(stage: Stage, names: Sequence[str]) -> dict[str, str]:
    if not names:
        return {}
    async with stage.sandbox(QUIET) as box:
        return await _inside(stage, box, names, _BATCH_TIMEOUT_S)


async def _worn(stage: Stage, names: Sequence[str], neighbour: Neighbour) -> dict[str, str]:
    """One by one: what one took is given back when its processes are gone."""
    if not names:
        return {}
    outcomes: dict[str, str] = {}
    _, beside = await stage.pair()
    for _ in range(10):
        neighbour.before.append(await _step(beside))
    watching = asyncio.ensure_future(_watch(beside, neighbour))
    try:
        async with stage.sandbox(SMALL) as box:
            for name in names:
                outcomes |= await _inside(stage, box, [name], _ONE_TIMEOUT_S)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    return outcomes


async def _inside(stage: Stage, box: Sandbox, names: Sequence[str], timeout_s: float) -> dict[str, str]:
    command = Command(["python3", "-m", "inside.main", *names], user=stage.user, rlimits=stage.rlimits)
    result = await box.run(command, timeout_s=timeout_s)
    with contextlib.suppress(ValueError):
        said = json.loads(result.stdout.data)
        if isinstance(said, dict):
            return {name: str(said.get(name, "nothing was said"))[:4096] for name in names}
    ending = (
        f"the probes ended by {result.ending.value}, {result.exit_code}, {result.signal}: {result.stderr.text[-500:]}"
    )
    return dict.fromkeys(names, ending)


async def _watch(box: Sandbox, neighbour: Neighbour) -> None:
    while True:
        neighbour.during.append(await _step(box))
        await asyncio.sleep(_STEP_INTERVAL_S)


async def _step(box: Sandbox) -> float:
    """How long the neighbour's smallest step takes, in seconds."""
    began = time.monotonic()
    await box.run(Command(["true"]), timeout_s=_ONE_TIMEOUT_S)
    return time.monotonic() - began


# --- outside ------------------------------------------------------------------------------------------------


async def _outside(stage: Stage, probe: Probe) -> Result:
    try:
        async with asyncio.timeout(_BATCH_TIMEOUT_S):
            return _judged(probe, stage.runtime.name, await OUTSIDE[probe.name](stage))
    except NotApplicableError as error:
        return Result(probe, None, holds=True, reason=str(error))
    except Exception as error:  # whatever hostile code brought about is the probe's outcome
        return _judged(probe, stage.runtime.name, f"{type(error).__name__}: {error}"[:500])
