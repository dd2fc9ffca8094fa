"""What an episode asks for, and what servers say of their tools, is checked member by member."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.tasks import GraderSpec, Task
from environments.tools.catalog import make_kits
from environments.tools.mcp.kit import mcp_kits
from environments.tools.mcp.listing import ListedTool, ListingError, exposed_names, parse_listing
from environments.tools.mcp.results import show_result
from environments.tools.mcp.servers import Program, Service, parse_servers

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}


def test_programs_and_services_are_told_apart() -> None:
    asked = [
        {"name": "time", "command": ["mcp-server-time"], "env": {"TZ": "UTC"}},
        {"name": "crm", "url": "https://CRM.example.com/mcp"},
        {"name": "local", "url": "http://127.0.0.1:9000/mcp"},
        {"name": "six", "url": "http://[fd00::1]:80/"},
    ]
    assert parse_servers(asked) == (
        Program("time", ("mcp-server-time",), {"TZ": "UTC"}),
        Service("crm", "https://CRM.example.com/mcp", "crm.example.com"),
        Service("local", "http://127.0.0.1:9000/mcp", "127.0.0.1:9000"),
        Service("six", "http://[fd00::1]:80/", "[fd00::1]"),
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, "a list of at most 8"),
        ([{"name": f"s{number}", "command": ["x"]} for number in range(9)], "a list of at most 8"),
        ([{"command": ["x"]}], "each server has a name"),
        ([{"name": "1 a", "command": ["x"]}], "each server has a name"),
        ([{"name": "a", "command": ["x"]}, {"name": "a", "command": ["y"]}], "two servers are called 'a'"),
        ([{"name": "a"}], "command is a list"),
        ([{"name": "a", "command": "ls -l"}], "command is a list"),
        ([{"name": "a", "command": ["x\0"]}], "command is a list"),
        ([{"name": "a", "command": ["x" * 20_000]}], "command has 20000 bytes"),
        ([{"name": "a", "command": ["\ud800"]}], "no valid Unicode"),
        ([{"name": "a", "command": ["x"], "env": ["A"]}], "no name of a variable"),
        ([{"name": "a", "command": ["x"], "env": {"A=B": "c"}}], "no name of a variable"),
        ([{"name": "a", "command": ["x"], "env": {"A": 1}}], "no text"),
        ([{"name": "a", "command": ["x"], "cwd": "/"}], "no member 'cwd'"),
        ([{"name": "a", "url": "https://x/", "headers": {"Authorization": "y"}}], "ENVSERVER_MCP_HEADERS_FILE"),
        ([{"name": "a", "url": "ftp://x/"}], "an http or https address"),
        ([{"name": "a", "url": "https://user:secret@x/"}], "an http or https address"),
        ([{"name": "a", "url": "https://x/?key=secret"}], "an http or https address"),
        ([{"name": "a", "url": "https://x:99999/"}], "an http or https address"),
        ([{"name": "a", "url": "https://é/"}], "an http or https address"),
        ([{"name": "a", "url": "https:///mcp"}], "an http or https address"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_servers(value)


def test_a_caller_s_servers_take_the_place_of_the_task_s() -> None:
    task = Task("t", "Do it.", GraderSpec("answer"), public={"mcp": [{"name": "a", "command": ["x"]}]})
    assert [kit.name for kit in make_kits(task, {})] == ["mcp"]
    assert make_kits(task, {"mcp": []}) == []


def test_a_program_is_never_beside_a_world_and_a_service_may_be() -> None:
    task = Task("t", "Do it.", GraderSpec("world"), public={"tools": ["world"]})
    with pytest.raises(ValueError, match="cannot be beside it"):
        make_kits(task, {"mcp": [{"name": "a", "command": ["x"]}]})
    kits = make_kits(task, {"mcp": [{"name": "crm", "url": "https://crm.example.com/mcp"}]})
    assert [kit.name for kit in kits] == ["world", "mcp"]
    assert mcp_kits(({"name": "a", "command": ["x"]}, {"name": "b", "url": "https://b/"}))[0].runs_code


@pytest.mark.parametrize(
    ("listing", "why"),
    [
        ({}, "no list of tools"),
        ([{"name": f"t{number}", "inputSchema": {}} for number in range(129)], "129 tools"),
        ([1], "without a usable name"),
        ([{"name": "", "inputSchema": {}}], "without a usable name"),
        ([{"name": "\ud800", "inputSchema": {}}], "without a usable name"),
        ([{"name": "a", "inputSchema": {}}, {"name": "a", "inputSchema": {}}], "two tools called 'a'"),
        ([{"name": "a"}], "none of an object"),
        ([{"name": "a", "inputSchema": {"type": "string"}}], "none of an object"),
        ([{"name": "a", "inputSchema": {}, "description": 1}], "no text"),
        ([{"name": "a", "inputSchema": {"properties": {"x": "y" * 17_000}}}], "more than 16384"),
        ([{"name": "a", "inputSchema": {"properties": {"x": "\ud800"}}}], "no valid Unicode"),
        ([{"name": "a", "inputSchema": json.loads('{"a":' * 33 + "1" + "}" * 33)}], "more than 32 deep"),
    ],
)
def test_a_listing_that_cannot_be_shown_is_refused(listing: Any, why: str) -> None:
    with pytest.raises(ListingError, match=why):
        parse_listing(listing)


def test_a_listing_is_shown_as_it_came() -> None:
    described = "\ud800" + "x" * 8999
    found = parse_listing([{"name": "a.b/c", "description": described, "inputSchema": SCHEMA}])
    assert found == [ListedTool("a.b/c", f"\\ud800{'x' * 7999} [...]", SCHEMA)]


def test_every_tool_has_a_name_of_its_own_that_a_model_can_write() -> None:
    def tools(*names: str) -> list[ListedTool]:
        return [ListedTool(name, "", SCHEMA) for name in names]

    long = "x" * 100
    exposed = exposed_names({"one": tools("get", "a.b", "a_b", long), "two": tools("get", f"{long}y")})
    assert all(1 <= len(name) <= 64 and name.replace("_", "").isalnum() for name in exposed)
    assert sorted(exposed.values()) == sorted(
        [("one", "get"), ("one", "a.b"), ("one", "a_b"), ("one", long), ("two", "get"), ("two", f"{long}y")]
    )
    assert exposed["one_get"] == ("one", "get")
    assert exposed["two_get"] == ("two", "get")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({}, ""),
        ({"content": "nonsense"}, ""),
        ({"content": [1]}, "[something that is no content]"),
        ({"content": [{"type": "text", "text": "\ud800"}]}, "\\ud800"),
        ({"content": [{"type": "image", "mimeType": "image/png", "data": "AAAA"}]}, "[image, image/png: not shown]"),
        ({"content": [{"type": "image", "mimeType": "image/png", "data": "?"}]}, "[image, image/png: not shown]"),
        ({"structuredContent": {"a": 1}}, '{"a": 1}'),
        ({"structuredContent": json.loads("[" * 200 + "]" * 200)}, "[nested too deep to be shown]"),
        ({"content": [{"type": "text", "text": "a"}], "structuredContent": {"a": 1}}, "a"),
    ],
)
def test_a_result_is_text_whatever_it_is(result: dict[str, Any], text: str) -> None:
    shown = show_result(result, [])
    assert (shown.text, shown.pictures, shown.error) == (text, (), False)


TEXTS = st.text("a.é\ud800", max_size=4) | st.sampled_from(
    ["name", "inputSchema", "type", "object", "content", "text", "image", "image/png", "data", "mimeType", "resource"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
TOOLS = st.fixed_dictionaries({"name": TEXTS, "description": TEXTS, "inputSchema": OBJECTS})
BLOCKS = st.fixed_dictionaries({"type": st.sampled_from(["text", "image", "resource", "resource_link"])}, optional={
    "text": VALUES, "data": TEXTS, "mimeType": VALUES, "uri": VALUES, "name": VALUES, "resource": OBJECTS,
})  # fmt: skip


@given(VALUES, st.lists(TOOLS | BLOCKS | OBJECTS, max_size=3))
def test_nothing_that_a_server_may_say_breaks_anything(value: Any, entries: list[Any]) -> None:
    for listing in (value, entries):
        with contextlib.suppress(ListingError):
            json.dumps([tool.as_json() for tool in parse_listing(listing)], ensure_ascii=False).encode()
        shown = show_result({"content": listing, "structuredContent": value, "isError": value}, [])
        shown.text.encode()


def test_only_true_is_an_error() -> None:
    assert show_result({"isError": True}, []).error
    assert not show_result({"isError": "yes"}, []).error
