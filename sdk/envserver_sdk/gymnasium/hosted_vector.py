"""Many hosted environments as one `gymnasium.vector.VectorEnv` with their own spaces: observations are arrays.

    envs = gymnasium.make_vec("envserver/Gym-v0", num_envs=8, url=..., env_id="CartPole-v1")

As `EnvserverVectorEnv`, from which it differs in values alone: actions are looked at before any is sent, observations
are decoded and stacked. An info is the environment's own, and what the server says is in its member `server`. A slot
that fails looks as it does there; its row of the observations is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gymnasium.error import InvalidAction
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from envserver_sdk.gymnasium import codec
from envserver_sdk.gymnasium.episodes import Turn
from envserver_sdk.gymnasium.hosted import Spaces, ask_for_spaces, hosted_options
from envserver_sdk.gymnasium.vector import Bools, EnvserverVectorEnv, Floats, Infos


class HostedVectorEnv(EnvserverVectorEnv):
    """`num_envs` of `env_id`, each in a sandbox of its own.

    Args:
        env_id, env_kwargs, options, environment, spaces: as in `HostedEnv`.
        settings: the other arguments of `EnvserverVectorEnv`.

    Raises: as `HostedEnv` and `EnvserverVectorEnv`.
    """

    def __init__(
        self,
        env_id: str | None = None,
        num_envs: int = 1,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        environment: str = "gym",
        spaces: Spaces | None = None,
        **settings: Any,
    ) -> None:
        wanted = hosted_options(env_id, env_kwargs, options, None)
        settings = {"task": env_id, **settings}
        super().__init__(environment, num_envs, options=wanted, **settings)
        try:
            task = settings["task"] if isinstance(settings["task"], str | None) else settings["task"][0]
            where = {"task": task, "task_set": settings.get("task_set"), "options": wanted}
            found = spaces or self._session.run(ask_for_spaces(self._session.client, environment, where))
        except BaseException:
            self.close()
            raise
        self.single_observation_space, self.single_action_space = found
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, **arguments: Any) -> tuple[Any, Infos]:
        observations, infos = super().reset(**arguments)
        return self._stacked(observations), infos

    def step(self, actions: Any) -> tuple[Any, Floats, Bools, Bools, Infos]:
        """One step in every slot. Raises: InvalidAction before any, and as `EnvserverVectorEnv.step`."""
        seen, rewards, terminations, truncations, infos = super().step(list(iterate(self.action_space, actions)))
        return self._stacked(seen), rewards, terminations, truncations, infos

    def send(self, actions: Sequence[Any], indices: Sequence[int]) -> None:
        """Begin a step in each of the slots, by one action each. Raises: InvalidAction, and none has begun."""
        for index, action in zip(indices, actions, strict=True):
            if action not in self.single_action_space:
                raise InvalidAction(f"the action {action!r} of slot {index} is not in {self.single_action_space}")
        super().send([{"type": "step", "action": codec.encode(action)} for action in actions], indices)

    def _keep(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            turn.observation, turn.info = _decoded(turn.observation), _opened(turn.info)
        super()._keep(turns)

    def _stacked(self, observations: Sequence[Any]) -> Any:
        space = self.single_observation_space
        one: Any = create_empty_array(space, 1)
        blank = next(iter(iterate(batch_space(space, 1), one)))
        rows = [blank if observation is None else observation for observation in observations]
        room: Any = create_empty_array(space, self.num_envs)
        return concatenate(space, rows, room)


def _decoded(said: Any) -> Any:
    return codec.decode(said["observation"]) if isinstance(said, dict) and "observation" in said else None


def _opened(info: dict[str, Any]) -> dict[str, Any]:
    """The environment's own, and what else there is under names of ours."""
    if "env_info" not in info:
        return info
    rest = {name: value for name, value in info.items() if name not in ("env_info", "final_obs", "final_info")}
    opened = {**codec.decode(info["env_info"]), "server": rest}
    if "final_info" in info:
        opened |= {"final_obs": _decoded(info["final_obs"]), "final_info": _opened(info["final_info"])}
    return opened
