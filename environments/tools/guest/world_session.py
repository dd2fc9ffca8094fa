"""A world inside a sandbox: takes calls on descriptor 3, answers on descriptor 4.

A message is a JSON object. `{"open": {"source", "paths", "spec"}}` makes the world: `source` is a module of ours with a
class `World(spec)` that has `call(tool, arguments) -> (text, failed)` and `parts() -> {name: any object}`; `paths` are
where it finds the simulators that it wraps. Opening another one later replaces it. `{"tool", "arguments"}` calls it.

The answer is `{"text", "error", "digests"}`: digests are SHA-256 (the first half, in hex) of the canonical form of
those parts of the state that have changed since the answer before, all of them after `open`. Two states have one
digest exactly if they hold the same public members, whatever path led there.

The world is trusted code, but its arguments are a policy's: they may ask for more time or memory than there is, which
is why it runs here. An interrupt ends the call with an error; what the call had changed by then stays changed.
"""

from __future__ import annotations

import enum
import hashlib
import json
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    class World(Protocol):
        skipped: frozenset[str]

        def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]: ...

        def parts(self) -> Mapping[str, object]: ...


MAX_MESSAGE = 900000
MAX_TEXT = 200000
MAX_INTEGRAL = 1e15
"""Below it a float without a fraction is written as the integer that it equals."""


class Session:
    """One world after another, and what its parts were when somebody was last told."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.told: dict[str, str] = {}

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if "open" in message:
            self.told = {}
            self.world = load(**message["open"])
            text, failed = "", False
        elif self.world is None:
            return {"text": "there is no world yet", "error": True, "digests": {}}
        else:
            text, failed = self.call(message["tool"], message["arguments"])
        return {"text": shortened(text), "error": failed, "digests": self.changes()}

    def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        assert self.world is not None
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                return self.world.call(tool, arguments)
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:
            return "Error: the call took too long and was interrupted", True
        except (MemoryError, RecursionError) as error:
            return f"Error: {type(error).__name__}", True

    def changes(self) -> dict[str, str]:
        assert self.world is not None
        skipped = self.world.skipped
        now = {name: digest(part, skipped) for name, part in self.world.parts().items()}
        changed = {name: told for name, told in now.items() if self.told.get(name) != told}
        changed.update(dict.fromkeys(self.told.keys() - now.keys(), ""))
        self.told = now
        return changed


def load(source: str, paths: list[str], spec: dict[str, Any]) -> World:
    sys.path.extend(path for path in paths if path not in sys.path)
    module = type(sys)("world")
    sys.modules["world"] = module
    exec(compile(source, "world", "exec"), module.__dict__)
    world: World = module.World(spec)
    return world


def digest(part: object, skipped: frozenset[str]) -> str:
    try:
        form = json.dumps(canonical(part, [], skipped), separators=(",", ":"), allow_nan=False)
    except RecursionError:
        form = "too deep"
    return hashlib.sha256(form.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def canonical(value: Any, above: list[int], skipped: frozenset[str]) -> Any:
    """A JSON value that is the same for equal states: 1 for 1.0, lists for tuples, members of objects by name."""
    if isinstance(value, enum.Enum):
        value = value.value
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < MAX_INTEGRAL
        return int(value) if whole else value if value - value == 0 else str(value)
    if id(value) in above:
        return {"above": len(above) - above.index(id(value))}
    inner = [*above, id(value)]
    if isinstance(value, list | tuple):
        return [canonical(item, inner, skipped) for item in value]
    if isinstance(value, set | frozenset):
        return {"set": sorted((canonical(item, inner, skipped) for item in value), key=json.dumps)}
    if isinstance(value, dict):
        items = [[canonical(key, inner, skipped), canonical(item, inner, skipped)] for key, item in value.items()]
        return {"items": sorted(items, key=lambda item: json.dumps(item[0]))}
    if not hasattr(value, "__dict__"):  # dates, decimals
        return {type(value).__name__: str(value)}
    members = {
        name: canonical(member, inner, skipped)
        for name, member in sorted(vars(value).items())
        if not name.startswith("_") and name not in skipped
    }
    return {type(value).__name__: members}


def shortened(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[: MAX_TEXT // 2]} [... {len(text) - MAX_TEXT} characters omitted ...] {text[-MAX_TEXT // 2 :]}"


def read_message(descriptor: int) -> bytes | None:
    length = b""
    while not length.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            return None
        length += byte
    data, size = b"", int(length)
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            return None
        data += part
    return data


def write_message(descriptor: int, data: bytes) -> None:
    data = b"%d\n%s" % (len(data), data)
    while data:
        data = data[os.write(descriptor, data) :]


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    session = Session()
    while (message := read_message(3)) is not None:
        answer = json.dumps(session.answer(json.loads(message)))
        if len(answer) > MAX_MESSAGE:  # whatever was escaped made it longer
            answer = json.dumps(
                json.loads(answer) | {"text": "Error: the result is too long to be shown", "error": True}
            )
        write_message(4, answer.encode())


if __name__ == "__main__":
    main()
