"""JSON is read strictly where readers differ, and never raises anything but JsonError."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.protocols.jsontext import JsonError, check_value, decode, decode_at, encode

REFUSED = {
    '{"a": 1, "a": 1}': "the key 'a' appears twice in one object",
    "[NaN]": "NaN is no JSON number",
    "[-Infinity]": "-Infinity is no JSON number",
    "1e999": "a number is too large, or not a number",
    "18446744073709551616": "an integer is beyond 64 bits",
    "-9223372036854775809": "an integer is beyond 64 bits",
    "9" * 5000: "an integer is beyond 64 bits",
    "[" * 65 + "]" * 65: "it is nested deeper than 64 levels",
    "[" * 500_000: "it is nested deeper than 64 levels",
    '"\\ud83d"': "a lone surrogate at character 0 is no valid Unicode",
    '{"\\udc00": 1}': "a lone surrogate at character 0 is no valid Unicode",
    "": "the JSON ends too early: expecting value",
    '{"a": "b': "unterminated string starting at at character 6 of the JSON",
    "{'a': 1}": "expecting property name enclosed in double quotes at character 1 of the JSON",
    "{} x": "after the value, at character 3, comes 'x'",
    "True": "expecting value at character 0 of the JSON",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_readers_differ_about_is_refused(text: str) -> None:
    with pytest.raises(JsonError) as caught:
        decode(text)
    assert str(caught.value).startswith(REFUSED[text])


@pytest.mark.parametrize(
    "text", ["18446744073709551615", "-9223372036854775808", "[" * 64 + "]" * 64, '"\\ud83d\\ude00"']
)
def test_the_last_that_is_taken(text: str) -> None:
    assert decode(text)[1] is None


def test_line_breaks_in_strings_are_forgiven_and_reported() -> None:
    value, forgiven = decode('["a\n\tb"]')
    assert value == ["a\n\tb"]
    assert forgiven == r"a string holds a line break or tab as it is: write \n or \t"


def test_duplicates_are_no_better_beside_a_line_break() -> None:
    with pytest.raises(JsonError, match="twice"):
        decode('{"a": "\n", "a": 1}')


def test_a_value_ends_where_it_ends() -> None:
    assert decode_at('x {"a": "}"} y', 1)[:2] == ({"a": "}"}, 12)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value, _ = decode(text)
    except JsonError:
        return
    assert decode(encode(value))[0] == value


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, (1, 2), b"x", object(), [float("-inf")]])
def test_values_that_are_no_json_are_refused(value: Any) -> None:
    with pytest.raises(JsonError):
        check_value(value)


def test_values_that_hold_themselves_are_refused() -> None:
    twice: list[Any] = []
    twice.extend([twice, twice])
    with pytest.raises(JsonError):
        check_value(twice)
