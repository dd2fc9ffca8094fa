"""An MCP server inside a sandbox, by its standard input and output: takes orders on descriptor 3, answers on 4.

An order is a JSON object. `{"start": {"command", "env", "cwd"}}` starts the server, in place of an earlier one, and
answers `{"server", "tools"}` or `{"failed": why}`. `{"call": {"name", "arguments"}}` calls a tool and answers one of

    {"result": ...}       as the server gave it, what is too large for an answer cut
    {"refused": why}      the server's JSON-RPC error
    {"gone": why}         there is no server any more: nothing was asked
    {"lost": why}         it ended, or broke the protocol, during the call: what the call did is not known
    {"interrupted": true} the call took too long and was cancelled; the server lives on

each with `tools`, listed anew, where the server has said that they changed.

Between two orders the server is still heard, so that it never waits for an answer to a question of its own. It is
offered no roots, no sampling and no elicitation. Lines that are no JSON are passed over, since many a server prints
something before it speaks. Runs on Python 3.8 and newer.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
MAX_LINE = 16 << 20
MAX_ANSWER = 890_000
MAX_CONTENT = 660_000
MAX_STRUCTURED = 200_000
MAX_TEXT = 400_000
MAX_LISTING = 256_000
MAX_PAGES = 50
READ_BYTES = 1 << 16
METHOD_NOT_FOUND = -32601


class Gone(Exception):
    """The server has ended, or cannot be understood; the message says which."""


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, error: Any) -> None:
        super().__init__()
        self.error = error if isinstance(error, dict) else {}


class Interrupted(Exception):
    """The order takes too long."""


class Server:
    """One MCP server's process and the conversation with it."""

    def __init__(self, command: list[str], env: dict[str, str], cwd: str, alarm: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: an interrupt is for us, and ends a call, no server
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **env},
                cwd=cwd,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, hear)
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.alarm = alarm
        self.inbox, self.outbox = bytearray(), bytearray()
        self.scanned = self.asked = 0
        self.answers: dict[int, dict[str, Any]] = {}
        self.expected: int | None = None
        self.changed = False
        for descriptor in (self.stdin, self.stdout):
            os.set_blocking(descriptor, False)

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Raises: Gone, Refused, Interrupted."""
        self.asked += 1
        self.expected = number = self.asked
        self.say({"id": number, "method": method, "params": params})
        while number not in self.answers:
            if self.alarm in self.hear([self.alarm]):
                os.read(self.alarm, READ_BYTES)
                self.expected = None
                self.say({"method": "notifications/cancelled", "params": {"requestId": number, "reason": "time"}})
                raise Interrupted
        answer = self.answers.pop(number)
        if "error" in answer:
            raise Refused(answer["error"])
        result = answer.get("result")
        if not isinstance(result, dict):
            raise Gone("its answer has no result")
        return result

    def say(self, message: dict[str, Any]) -> None:
        self.outbox += encode({"jsonrpc": "2.0", **message}) + b"\n"

    def hear(self, others: list[int]) -> list[int]:
        """Wait until something happens, do what it means, and return which of the `others` can be read."""
        readable, writable, _ = select.select([self.stdout, *others], [self.stdin] if self.outbox else [], [])
        if writable:
            self.write()
        if self.stdout in readable:
            self.read()
        return [each for each in others if each in readable]

    def write(self) -> None:
        try:
            del self.outbox[: os.write(self.stdin, self.outbox[:READ_BYTES])]
        except BlockingIOError:
            pass
        except OSError:
            self.outbox.clear()  # its end is found where it is read

    def read(self) -> None:
        data = os.read(self.stdout, READ_BYTES)
        if not data:
            raise Gone(self.how_it_ended())
        self.inbox += data
        while (end := self.inbox.find(b"\n", self.scanned)) >= 0:
            line = bytes(self.inbox[:end])
            del self.inbox[: end + 1]
            self.scanned = 0
            self.take(line)
        self.scanned = len(self.inbox)
        if self.scanned > MAX_LINE:
            raise Gone(f"it sent a line of more than {MAX_LINE} bytes")

    def take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        for each in message if isinstance(message, list) else [message]:
            if isinstance(each, dict):
                self.understand(each)

    def understand(self, message: dict[str, Any]) -> None:
        method, number = message.get("method"), message.get("id")
        if method is None:
            if type(number) is int and number == self.expected:
                self.answers[number] = message
        elif number is None:
            self.changed = self.changed or method == "notifications/tools/list_changed"
        elif method == "ping":
            self.say({"id": number, "result": {}})
        else:
            error = {"code": METHOD_NOT_FOUND, "message": f"{str(method)[:100]} is not offered here"}
            self.say({"id": number, "error": error})

    def how_it_ended(self) -> str:
        try:
            code = self.process.wait(2)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"

    def greet(self) -> dict[str, Any]:
        """The handshake. Returns what it says of itself."""
        about = {"name": "envserver", "version": "1"}
        said = self.ask("initialize", {"protocolVersion": VERSIONS[0], "capabilities": {}, "clientInfo": about})
        if said.get("protocolVersion") not in VERSIONS:
            raise Gone(f"it speaks version {str(said.get('protocolVersion'))[:40]!r} of the protocol")
        self.say({"method": "notifications/initialized"})
        return said

    def list_tools(self) -> list[Any]:
        self.changed = False
        tools: list[Any] = []
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            page = self.ask("tools/list", params)
            tools += page["tools"] if isinstance(page.get("tools"), list) else []
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or not cursor:
                break
            params = {"cursor": cursor}
        if (size := len(encode(tools))) > MAX_LISTING:
            raise Gone(f"its list of {len(tools)} tools has {size} bytes, more than {MAX_LISTING}")
        return tools

    def end(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class Session:
    """One server after another."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.why = "it was not started"
        self.alarm, self.bell = os.pipe()
        os.set_blocking(self.bell, False)
        os.set_blocking(self.alarm, False)

    def wait(self) -> None:
        """For the next order; a server that ends meanwhile is let go of."""
        while self.server is not None:
            try:
                if self.server.hear([3]):
                    return
            except Gone as error:
                self.drop(str(error))

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        self.silence()
        signal.set_wakeup_fd(self.bell, warn_on_full_buffer=False)
        try:
            return self.start(order["start"]) if "start" in order else self.call(order["call"])
        finally:
            signal.set_wakeup_fd(-1)

    def silence(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.alarm, READ_BYTES)

    def start(self, order: dict[str, Any]) -> dict[str, Any]:
        self.drop("it was replaced")
        try:
            self.server = Server(order["command"], order["env"], order["cwd"], self.alarm)
            said = self.server.greet()
            return {"server": said.get("serverInfo"), "tools": self.server.list_tools()}
        except OSError as error:
            why = f"it cannot be started: {error.strerror}"
        except Gone as error:
            why = str(error)
        except Refused as refused:
            why = f"it refused: {str(refused.error.get('message'))[:500]}"
        except Interrupted:
            why = "it did not answer in time"
        self.drop(why)
        return {"failed": why}

    def call(self, order: dict[str, Any]) -> dict[str, Any]:
        if self.server is None:
            return {"gone": self.why}
        answer: dict[str, Any] = {}
        try:
            answer = {"result": fitting(self.server.ask("tools/call", order))}
        except Refused as refused:
            answer = {"refused": str(refused.error.get("message"))[:4000]}
        except Interrupted:
            return {"interrupted": True}
        except Gone as error:
            self.drop(str(error))
            return {"lost": self.why}
        self.add_tools(answer)
        return answer

    def add_tools(self, answer: dict[str, Any]) -> None:
        """Where they have changed, and there is room; else with a later answer."""
        if self.server is None or not self.server.changed:
            return
        try:
            tools = self.server.list_tools()
        except (Refused, Interrupted):
            self.server.changed = True
        except Gone as error:  # the call itself has its answer
            self.drop(str(error))
        else:
            self.server.changed = len(encode(answer)) + len(encode(tools)) > MAX_ANSWER
            if not self.server.changed:
                answer["tools"] = tools

    def drop(self, why: str) -> None:
        if self.server is not None:
            self.server.end()
            self.server, self.why = None, why


def fitting(result: dict[str, Any]) -> dict[str, Any]:
    """What of a result there is room for; a block that is too large is named instead."""
    blocks = result.get("content")
    kept: list[Any] = []
    room = MAX_CONTENT
    for block in blocks if isinstance(blocks, list) else []:
        cut = shortened(block)
        size = len(encode(cut))
        if size > room:
            cut = {"type": "text", "text": f"[{describe(block)}, {size} bytes, left out: too large]"}
            size = len(encode(cut))
        if size > room:
            break
        room -= size
        kept.append(cut)
    shown = {"content": kept, "isError": result.get("isError") is True}
    structured = result.get("structuredContent")
    if structured is not None and len(encode(structured)) <= MAX_STRUCTURED:
        shown["structuredContent"] = structured
    return shown


def shortened(block: Any) -> Any:
    text = block.get("text") if isinstance(block, dict) else None
    if not isinstance(text, str):
        return block
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= MAX_TEXT:
        return block
    head, tail = data[: MAX_TEXT // 2].decode("utf-8", "ignore"), data[-MAX_TEXT // 2 :].decode("utf-8", "ignore")
    return {**block, "text": f"{head} [... {len(data) - MAX_TEXT} bytes left out ...] {tail}"}


def describe(block: Any) -> str:
    kind = (block.get("mimeType") or block.get("type")) if isinstance(block, dict) else "something"
    return str(kind)[:100]


def encode(value: Any) -> bytes:
    """As JSON in UTF-8; a lone surrogate becomes JSON's own escape for it."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def hear(number: int, frame: object) -> None:
    """The signal's number is written to the alarm; nothing else is to be done."""


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
    signal.signal(signal.SIGINT, hear)
    session = Session()
    while True:
        session.wait()
        message = read_message(3)
        if message is None:
            break
        write_message(4, encode(session.answer(json.loads(message))))
    session.drop("")


if __name__ == "__main__":
    main()
