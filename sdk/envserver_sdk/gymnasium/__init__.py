"""envserver's environments for Gymnasium. Importing this registers them.

    import gymnasium
    import envserver_sdk.gymnasium

    env = gymnasium.make("envserver/Code-v0", url="http://127.0.0.1:8000", task="HumanEval/0")

`envserver/Gym-v0` is any Gymnasium environment that the server hosts, by its id (`env_id=`), with its own spaces;
`envserver/Episode-v0` is any environment of a server, by its name there (`environment=`). Without the second import,
`gymnasium.make("envserver_sdk.gymnasium:envserver/Code-v0", ...)` does the same. Needs `envserver-sdk[gymnasium]`.
"""

from __future__ import annotations

import gymnasium

from envserver_sdk.gymnasium import codec
from envserver_sdk.gymnasium._slot import EpisodeRecovered
from envserver_sdk.gymnasium.env import EnvserverEnv
from envserver_sdk.gymnasium.episodes import AsyncEpisodes, EpisodeRequest, Turn
from envserver_sdk.gymnasium.hosted import HostedEnv, Steps
from envserver_sdk.gymnasium.hosted_vector import HostedVectorEnv
from envserver_sdk.gymnasium.spaces import JsonSpace, TextSpace, UnsupportedSchemaError, space_for
from envserver_sdk.gymnasium.vector import EnvserverVectorEnv

__all__ = [
    "EnvserverEnv", "EnvserverVectorEnv", "HostedEnv", "HostedVectorEnv", "Steps",
    "AsyncEpisodes", "EpisodeRequest", "Turn", "EpisodeRecovered",
    "JsonSpace", "TextSpace", "UnsupportedSchemaError", "space_for",
    "codec",
]  # fmt: skip

IDS = {
    "envserver/Code-v0": {"environment": "code"},
    "envserver/Tools-v0": {"environment": "tools"},
    "envserver/Browser-v0": {"environment": "browser"},
    "envserver/Episode-v0": {},
}


def _register() -> None:
    for name, arguments in IDS.items():
        gymnasium.register(
            name,
            entry_point="envserver_sdk.gymnasium.env:EnvserverEnv",
            vector_entry_point="envserver_sdk.gymnasium.vector:EnvserverVectorEnv",
            nondeterministic=True,  # `info` has timings, and programs may ask the clock
            kwargs=dict(arguments),
        )
    gymnasium.register(
        "envserver/Gym-v0",
        entry_point="envserver_sdk.gymnasium.hosted:HostedEnv",
        vector_entry_point="envserver_sdk.gymnasium.hosted_vector:HostedVectorEnv",
        nondeterministic=True,  # what is hosted may be anything
    )


_register()
