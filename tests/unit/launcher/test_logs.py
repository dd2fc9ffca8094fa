"""The launcher's log lines are JSON whatever is logged."""

from __future__ import annotations

import json
import logging

from envserver.launcher.logs import JsonFormatter


def _format(message: str, *, error: Exception | None = None) -> dict[str, str]:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("envserver.launcher", logging.ERROR, __file__, 1, message, (), exc_info)
    parsed: dict[str, str] = json.loads(JsonFormatter().format(record))
    return parsed


def test_quotes_and_new_lines_stay_within_one_line_of_json() -> None:
    line = _format('crun said: "no"\nand more')
    assert (line["event"], line["level"]) == ('crun said: "no"\nand more', "error")


def test_an_exception_is_part_of_the_line() -> None:
    assert "ValueError: bad" in _format("failed", error=ValueError("bad"))["exception"]
