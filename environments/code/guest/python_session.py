"""The live interpreter inside a sandbox: takes cells on descriptor 3, answers on descriptor 4.

A message is one cell's source as UTF-8. Statements run in a fresh `__main__` that lives as long as the session;
the value of a last expression is shown by its repr, open matplotlib figures are exported as PNG. The answer is a JSON
object: `result`, `error`, `traceback`, `exit_code`, `interrupted`, `clipped`, `images` (base64), `images_dropped`.

Rules that keep it alive: it shares its process with the cells, so it defends itself against accidents and not against
intent. Its descriptors are moved high and close on exec and in forked children; SIGINT raises KeyboardInterrupt only
while a cell runs; a forked child that falls through a cell ends without an answer. What a cell breaks on purpose ends
the process, and the server says so.

Start-up time matters: only built-in modules are imported here, the rest when it is first needed, and then never from
the policy's directory. Runs on Python 3.8 and newer.
"""

from __future__ import annotations

import _ast
import _signal  # type: ignore[import-not-found]
import builtins
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

MAX_MESSAGE = 900000
LIMITS = {"result": 65536, "traceback": 32768, "error": 4096}
MAX_IMAGES = 16
MAX_SOURCES = 1000
TOP_LEVEL_AWAIT = 0x2000
ONLY_AST = 0x400
COROUTINE = 0x80
VALUE = "__cell_value__"


class Session:
    """The state of one interpreter between cells."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.requests = move_high(3)
        self.answers = move_high(4)
        self.saved = {1: copy_high(1), 2: copy_high(2)}
        self.cells = 0
        self.sources: dict[str, str] = {}
        self.handler: Any = _signal.default_int_handler
        self.runner: Any = None
        self.driver = sys.modules["__main__"]  # its globals live as long as somebody holds the module
        module = type(sys)("__main__")
        self.namespace = module.__dict__
        self.namespace.update(__builtins__=builtins, __spec__=None)
        sys.modules["__main__"] = module
        os.register_at_fork(after_in_child=self.detach)

    def detach(self) -> None:
        """In a forked child: let go of the channel, so that only the session itself can answer."""
        os.close(self.requests)
        os.close(self.answers)

    def serve(self) -> None:
        while True:
            source = read_message(self.requests)
            if source is None:
                return
            report: dict[str, Any] = {}
            images: list[bytes] = []
            self.cell(source, report, images)
            if os.getpid() != self.pid:
                os._exit(report.get("exit_code", 1 if "error" in report else 0))
            write_message(self.answers, encode(report, images))

    def cell(self, source: bytes, report: dict[str, Any], images: list[bytes]) -> None:
        try:
            _signal.signal(_signal.SIGINT, self.handler)
            try:
                self.run(source.decode("utf-8"), report)
            except BaseException as error:  # whatever a cell raises is its result
                self.describe(error, report)
            self.figures(report, images)
        except BaseException as error:  # an interrupt, or no memory left, while the first error was described
            report.setdefault("error", type(error).__name__)
            if isinstance(error, KeyboardInterrupt):
                report["interrupted"] = True
        finally:
            self.quiet()
        self.mend_streams()

    def quiet(self) -> None:
        """Outside a cell SIGINT does nothing; a handler that a cell has set comes back with the next one."""
        while True:
            try:
                self.handler = _signal.signal(_signal.SIGINT, ignore) or _signal.default_int_handler
                return
            except KeyboardInterrupt:
                continue

    def run(self, source: str, report: dict[str, Any]) -> None:
        self.cells += 1
        name = f"<cell {self.cells}>"
        self.remember(name, source)
        tree: Any = compile(source, name, "exec", ONLY_AST | TOP_LEVEL_AWAIT, True)
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            # Kept in the cell's own code, so that all of it runs in one event loop where it awaits.
            tree.body[-1] = assignment(VALUE, tree.body[-1].value)
        self.execute(compile(tree, name, "exec", TOP_LEVEL_AWAIT, True))
        value = self.namespace.pop(VALUE, None)
        if value is not None:
            builtins._ = value  # type: ignore[attr-defined]
            report["result"] = repr(value)

    def execute(self, code: CodeType) -> None:
        if not code.co_flags & COROUTINE:
            exec(code, self.namespace)
            return
        asyncio = load("asyncio")
        coroutine = eval(code, self.namespace)
        if hasattr(asyncio, "Runner"):
            self.runner = self.runner or asyncio.Runner()
            self.runner.run(coroutine)
        else:
            self.runner = self.runner or asyncio.new_event_loop()
            self.runner.run_until_complete(coroutine)

    def remember(self, name: str, source: str) -> None:
        """Let tracebacks and `inspect` find the cell's lines, at no cost until one of them is used."""
        self.sources[name] = source
        if "linecache" in sys.modules or "inspect" in source:
            self.publish_sources()

    def publish_sources(self) -> None:
        cache = load("linecache").cache
        for name, source in self.sources.items():
            cache[name] = (len(source), None, source.splitlines(True), name)
        self.sources.clear()
        cache.pop(f"<cell {self.cells - MAX_SOURCES}>", None)

    def describe(self, error: BaseException, report: dict[str, Any]) -> None:
        if isinstance(error, SystemExit):
            report["exit_code"] = exit_code(error)
            return
        if isinstance(error, KeyboardInterrupt):
            report["interrupted"] = True
        frames = error.__traceback__
        while frames is not None and not frames.tb_frame.f_code.co_filename.startswith("<cell "):
            frames = frames.tb_next  # the driver's own
        self.publish_sources()
        traceback = load("traceback")
        summary = traceback.format_exception_only(type(error), error)
        report["error"] = (summary[-1] if isinstance(error, SyntaxError) else "".join(summary)).strip()
        report["traceback"] = "".join(traceback.format_exception(type(error), error, frames))

    def figures(self, report: dict[str, Any], images: list[bytes]) -> None:
        """Export and close what pyplot holds open. A figure that cannot be drawn is counted, not raised."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        numbers = pyplot.get_fignums() if pyplot is not None and hasattr(pyplot, "get_fignums") else []
        if pyplot is None or not numbers:
            return
        report["images_dropped"] = len(numbers)
        if report.get("interrupted"):  # no time is left to draw
            numbers = []
        for number in numbers[:MAX_IMAGES]:
            buffer = load("io").BytesIO()
            try:
                pyplot.figure(number).savefig(buffer, format="png")
            except Exception:
                continue
            images.append(load("binascii").b2a_base64(buffer.getvalue(), newline=False))
            report["images_dropped"] -= 1
        pyplot.close("all")

    def mend_streams(self) -> None:
        """Flush; give back a standard descriptor or stream that the cell has closed."""
        for number, name in ((1, "stdout"), (2, "stderr")):
            try:
                os.fstat(number)
            except OSError:
                os.dup2(self.saved[number], number)
            stream: Any = getattr(sys, name, None)
            try:
                stream.flush()
            except BaseException:  # closed, replaced by something else, or None
                stream = open(number, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
                setattr(sys, name, stream)


def assignment(name: str, value: Any) -> _ast.Assign:
    """`name = value`, at the place of the value."""
    place = {key: getattr(value, key) for key in ("lineno", "col_offset", "end_lineno", "end_col_offset")}
    return _ast.Assign(targets=[_ast.Name(name, _ast.Store(), **place)], value=value, type_comment=None, **place)


def ignore(number: int, frame: object) -> None:
    """SIGINT between cells."""


def load(name: str) -> Any:
    """Import a standard module that the policy's directory cannot shadow."""
    if name not in sys.modules:
        here = os.getcwd()  # noqa: PTH109
        path, sys.path = sys.path, [entry for entry in sys.path if entry not in ("", here)]
        try:
            __import__(name)
        finally:
            sys.path = path
    return sys.modules[name]


def exit_code(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return int(error.code or 0) & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def copy_high(descriptor: int) -> int:
    """A copy out of the way of programs that use or close low numbers; closed on exec."""
    fcntl = load("fcntl")
    high: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 24)
    return high


def move_high(descriptor: int) -> int:
    high = copy_high(descriptor)
    os.close(descriptor)
    return high


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


def encode(report: dict[str, Any], images: list[bytes]) -> bytes:
    """The answer as JSON, within the size of a message; a lone surrogate becomes JSON's own escape for it."""
    from _json import encode_basestring as quote

    for key, limit in LIMITS.items():
        text = report.get(key)
        if text is None:
            continue
        if len(text) > limit:
            cut = f" [... {len(text) - limit} characters omitted ...] "
            text = text[: limit // 2] + cut + text[-limit // 2 :]
            report["clipped"] = True
        report[key] = quote("".join([text]))  # a plain str, whatever a repr returned
    texts = [report[key] for key in LIMITS if key in report]
    room = MAX_MESSAGE - 1000 - sum(len(text.encode("utf-8", "backslashreplace")) for text in texts)
    kept: list[str] = []
    for image in images:
        if len(image) < room:
            kept.append('"' + image.decode("ascii") + '"')
            room -= len(image) + 4
        else:
            report["images_dropped"] += 1
    members = ['"images":[' + ",".join(kept) + "]"]
    for key, value in report.items():
        shown = value if isinstance(value, str) else "true" if value is True else str(value)
        members.append(f'"{key}":{shown}')
    return ("{" + ",".join(members) + "}").encode("utf-8", "backslashreplace")


def main() -> None:
    sys.argv = [""]
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    session = Session()
    sys.path.insert(0, "")
    session.serve()


main()
