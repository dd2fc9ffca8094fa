"""The program that hosts a Gymnasium environment in a sandbox: takes requests on descriptor 3, answers on 4.

Gymnasium is imported when it starts, ahead of the first request. An interrupt ends no step in its middle, which would
leave the environment in a state that nobody could name: it sets a mark that many steps look at between two of them. A
step that goes on for all that is ended with the program.
"""

from __future__ import annotations

import json
import signal

from environments.guest.channel import Channel
from environments.gym.guest.host import Host


def main() -> None:
    host = Host()

    def stop(_number: int, _frame: object) -> None:
        host.stop = True

    signal.signal(signal.SIGINT, stop)
    channel = Channel(3, 4)
    while (request := channel.receive()) is not None:
        answer = host.answer(json.loads(request))
        if not channel.send(json.dumps(answer, allow_nan=False).encode()):
            return
