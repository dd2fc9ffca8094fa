"""A runtime, an environment and a grader for tests of everything above them: the contracts, without containers."""

from __future__ import annotations

from tests.unit.scripted.environment import ScriptedEnvironment, ScriptedTasks
from tests.unit.scripted.gates import Gates
from tests.unit.scripted.grader import ScriptedGrader
from tests.unit.scripted.runtime import ScriptedRuntime
from tests.unit.scripted.sandbox import ScriptedSandbox

__all__ = ["Gates", "ScriptedEnvironment", "ScriptedGrader", "ScriptedRuntime", "ScriptedSandbox", "ScriptedTasks"]
