"""What there is, is said in full; of very much it is said how much more there is."""

from __future__ import annotations

from environments.protocols.hints import did_you_mean, names, nearest


def test_what_there_is_is_named_to_the_last() -> None:
    known = [f"tool_{n}" for n in range(60)]
    assert did_you_mean("?", known) == f"there are {', '.join(map(repr, known))}"
    assert did_you_mean("?", []) == "there are none"


def test_of_very_many_it_is_said_how_many_more_there_are() -> None:
    assert did_you_mean("?", [f"tool_{n}" for n in range(63)]).endswith("'tool_59' and 3 more")
    assert names(range(100)).endswith("58, 59 and 40 more")


def test_the_nearest_is_found_among_very_many() -> None:
    known = [*(f"other_{n}" for n in range(500)), "search_web"]
    assert nearest("serch_web", known)[0] == "search_web"
