"""The rollout half of a GRPO trainer: groups of answers to HumanEval tasks, their rewards and their advantages.

    python examples/grpo.py --endpoint http://127.0.0.1:8001/v1 --model MODEL --tasks 4 --group 8 --out samples.jsonl

A policy behind any OpenAI-compatible chat endpoint (key: OPENAI_API_KEY) answers with a fenced Python block. It is
written to solution.py and run; what went wrong is shown to the policy, which may try again, and the last try is
submitted. The node is at ENVSERVER_URL, or http://127.0.0.1:8000. Needs the SDK and httpx, which comes with it.

Each rollout becomes one line of JSON: messages, reward, advantage, mask. Nothing is to be learnt where `mask` is 0: the
node or the endpoint failed, the server called a step untrainable, or the rollout was still running at its group's
deadline. Such a rollout has no reward (null, never 0) and no part in its group's mean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import httpx

from envserver_sdk import AsyncClient, AsyncEpisode, AsyncGroup, StepResult
from envserver_sdk.errors import EnvserverClientError

SYSTEM = (
    "You write Python. Answer with one fenced block, ```python ... ```, that holds the whole module. It is saved as "
    "solution.py and run; should it fail, you see why and may answer again."
)
FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)
SOLUTION = "solution.py"
SHOWN_CHARACTERS = 2000
"""Of a failed run's output, from its end."""
EPSILON = 1e-6
"""Added to the standard deviation, so that a group of equal rewards has advantages of 0."""
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


Act = Callable[[dict[str, Any]], Awaitable[StepResult]]


class EndpointError(Exception):
    """The endpoint gave no answer within the tries that it has."""


class UntrainableError(Exception):
    """The server said `trainable: false`; the message is the outcome."""


@dataclass
class Sample:
    """One rollout. `reason` says why it is masked."""

    task: str
    messages: list[dict[str, str]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    reward: float | None = None
    advantage: float = 0.0
    mask: int = 0
    reason: str | None = "deadline"


@dataclass(frozen=True)
class Sampling:
    model: str
    temperature: float = 1.0
    max_tokens: int = 1024
    tries: int = 3
    backoff_s: float = 0.5
    """Before the second try; twice as long before each further one."""


class Policy:
    """A chat model behind HTTP."""

    def __init__(self, endpoint: httpx.AsyncClient, sampling: Sampling) -> None:
        self._endpoint = endpoint
        self._sampling = sampling

    async def answer(self, messages: Sequence[dict[str, str]]) -> str:
        """One sampled reply. Raises: EndpointError."""
        sampling, reason = self._sampling, ""
        body = {
            "model": sampling.model,
            "messages": list(messages),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
        }
        for number in range(sampling.tries):
            if number:
                await asyncio.sleep(sampling.backoff_s * 2 ** (number - 1))
            try:
                response = await self._endpoint.post("chat/completions", json=body)
                if response.status_code not in RETRIED:
                    return str(response.raise_for_status().json()["choices"][0]["message"]["content"] or "")
                reason = f"status {response.status_code}"
            except httpx.TransportError as error:
                reason = repr(error)
            except (httpx.HTTPStatusError, ValueError, LookupError, TypeError) as error:  # another try says the same
                raise EndpointError(repr(error)) from error
        raise EndpointError(f"{sampling.tries} tries: {reason}")


def parse_code(reply: str) -> str | None:
    """The last fenced block, or None: a model that explains first answers last."""
    blocks = FENCE.findall(reply)
    return blocks[-1] if blocks else None


async def play(episode: AsyncEpisode, policy: Policy, sample: Sample, *, turns: int, timeout_s: float) -> None:
    """Up to `turns` answers, each written and run; then `submit`. Fills `sample` as it goes."""
    sample.messages += [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": str(episode.observation["prompt"])},
    ]

    async def act(action: dict[str, Any]) -> StepResult:
        step = await episode.step(action, timeout_s=timeout_s)
        sample.outcomes.append(str(step.outcome))
        if not step.trainable:
            raise UntrainableError(str(step.outcome))
        return step

    for turn in range(turns):
        reply = await policy.answer(sample.messages)
        sample.messages.append({"role": "assistant", "content": reply})
        complaint = await try_out(parse_code(reply), act)
        if complaint is None or turn == turns - 1:
            break
        sample.messages.append({"role": "user", "content": complaint})
    sample.reward, sample.mask, sample.reason = (await act({"type": "submit"})).reward, 1, None


async def try_out(code: str | None, act: Act) -> str | None:
    """Write and run the code; what to tell the policy, or None when all went well."""
    if code is None:
        return "There is no fenced Python block in your answer."
    await act({"type": "write_file", "path": SOLUTION, "content": code})
    step = await act({"type": "run", "language": "python", "code": code})
    if step.observation.get("exit_code") == 0:
        return None
    output = str(step.observation.get("stderr") or step.observation.get("error") or step.outcome)
    return f"Running {SOLUTION} failed:\n{output[-SHOWN_CHARACTERS:]}"


async def play_group(client: AsyncClient, policy: Policy, task: str, arguments: argparse.Namespace) -> list[Sample]:
    """A group of one task, whose members begin in the same state, all at once.

    Who is not done at the deadline is cut, its episode closed, and masked.
    """
    samples = [Sample(task) for _ in range(arguments.group)]
    deadline = asyncio.get_running_loop().time() + arguments.deadline_s
    lease_s = arguments.deadline_s + 60  # ends episodes that we could not close
    try:
        async with asyncio.timeout_at(deadline):
            group = await client.group("code", n=len(samples), task_set="humaneval", task=task, ttl_s=lease_s)
    except TimeoutError:
        return samples
    except EnvserverClientError as error:
        for sample in samples:
            sample.reason = f"{type(error).__name__}: {error}"
        return samples
    async with group:
        await play_members(group, policy, samples, arguments, deadline)
    set_advantages(samples)
    return samples


async def play_members(
    group: AsyncGroup, policy: Policy, samples: Sequence[Sample], arguments: argparse.Namespace, deadline: float
) -> None:
    async def one(episode: AsyncEpisode, sample: Sample) -> None:
        try:
            async with episode:
                await play(episode, policy, sample, turns=arguments.turns, timeout_s=arguments.step_timeout_s)
        except (EnvserverClientError, EndpointError, UntrainableError) as error:
            if sample.mask == 0:  # otherwise only the close failed
                sample.reason = f"{type(error).__name__}: {error}"

    rollouts = [asyncio.create_task(one(*pair)) for pair in zip(group, samples, strict=True)]
    left_s = deadline - asyncio.get_running_loop().time()
    _, stragglers = await asyncio.wait(rollouts, timeout=max(0.0, left_s))
    for rollout in stragglers:
        rollout.cancel()
    for result in await asyncio.gather(*rollouts, return_exceptions=True):
        if isinstance(result, Exception):
            raise result  # a defect of this program, not of a rollout


def set_advantages(samples: Sequence[Sample]) -> None:
    """(reward - mean) / (standard deviation + EPSILON) over the samples with a mask (DeepSeekMath, section 4.1)."""
    rewards = [sample.reward for sample in samples if sample.mask and sample.reward is not None]
    if not rewards:
        return
    mean, deviation = statistics.fmean(rewards), statistics.pstdev(rewards)
    for sample in samples:
        if sample.mask and sample.reward is not None:
            sample.advantage = (sample.reward - mean) / (deviation + EPSILON)


async def task_ids(client: AsyncClient, split: str, count: int) -> list[str]:
    page = await client.tasks("code", task_set="humaneval", split=split, limit=min(count, 1000))
    return [task.task_id for task in page.tasks]


def report(samples: Sequence[Sample], out: IO[str]) -> None:
    for sample in samples:
        out.write(json.dumps(asdict(sample)) + "\n")
    out.flush()
    kept = [sample.reward for sample in samples if sample.reward is not None]
    mean = statistics.fmean(kept) if kept else math.nan
    print(f"{samples[0].task}: {len(kept)} of {len(samples)} trainable, mean reward {mean:.2f}", file=sys.stderr)


async def run(arguments: argparse.Namespace) -> None:
    """All groups at once, each written when it is done."""
    key = os.environ.get("OPENAI_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    sampling = Sampling(arguments.model, arguments.temperature, arguments.max_tokens)
    base = arguments.endpoint.rstrip("/") + "/"
    limits = httpx.Limits(max_connections=arguments.tasks * arguments.group)
    async with (
        AsyncClient(arguments.url, os.environ.get("ENVSERVER_API_KEY")) as client,
        httpx.AsyncClient(base_url=base, headers=headers, timeout=arguments.deadline_s, limits=limits) as endpoint,
    ):
        policy = Policy(endpoint, sampling)
        tasks = arguments.task or await task_ids(client, arguments.split, arguments.tasks)
        groups = [play_group(client, policy, task, arguments) for task in tasks]
        with open(arguments.out, "w", encoding="utf-8") as out:  # noqa: ASYNC230, PTH123  also /dev/stdout
            for group in asyncio.as_completed(groups):
                report(await group, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True, help="base address of the chat endpoint, up to /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--url", default=os.environ.get("ENVSERVER_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--out", default="/dev/stdout")
    parser.add_argument("--task", action="append", help="a task by its id, instead of the first ones; repeatable")
    parser.add_argument("--split", default="train")
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--step-timeout-s", type=float, default=10.0)
    parser.add_argument("--deadline-s", type=float, default=300.0, help="of a group")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
