"""What environments offer before there is an episode, as episodes have it: tools, kits, protocols."""

from __future__ import annotations

from typing import ClassVar

import pytest

from environments.code import CodeEnvironment
from environments.environment import Environment, Offer
from environments.gym import GymEnvironment
from environments.protocols import protocol
from environments.tools.catalog import kit_classes
from environments.tools.environment import ToolsEnvironment
from envserver.episodes.catalog import Catalog
from envserver_sdk.models import EnvironmentOffer
from tests.unit.scripted import ScriptedEnvironment

ENVIRONMENTS: dict[str, type[Environment]] = {"code": CodeEnvironment, "gym": GymEnvironment, "tools": ToolsEnvironment}


@pytest.fixture
async def offers() -> dict[str, EnvironmentOffer]:
    listed = await Catalog(ENVIRONMENTS).overview()
    assert listed.environments == list(ENVIRONMENTS) == [offer.name for offer in listed.offers]
    return {offer.name: offer for offer in listed.offers}


async def test_kinds_of_action_are_tools(offers: dict[str, EnvironmentOffer]) -> None:
    tools = {tool.name: tool for tool in offers["code"].tools}
    kinds = [kind["properties"]["type"]["const"] for kind in CodeEnvironment.spec.action_schema["oneOf"]]
    assert list(tools) == kinds
    edit = tools["edit"]
    assert edit.description
    assert edit.parameters["required"] == ["path", "old", "new"] == list(edit.parameters["properties"])
    assert offers["code"].kits == []


@pytest.mark.parametrize("name", ["code", "gym"])
async def test_they_are_those_that_an_episode_begins_with(offers: dict[str, EnvironmentOffer], name: str) -> None:
    assert [tool.model_dump() for tool in offers[name].tools] == list(ENVIRONMENTS[name]().tools())


async def test_each_kit_shows_its_tools(offers: dict[str, EnvironmentOffer]) -> None:
    assert offers["tools"].tools == []
    kits = {kit.name: kit for kit in offers["tools"].kits}
    assert set(kits) == set(kit_classes())
    for name, kind in kit_classes().items():
        made = kind()
        shown = {tool.name: (tool.description, tool.parameters) for tool in kits[name].tools}
        assert shown == {tool.name: (tool.description, tool.parameters) for tool in made.tools.values()}
        assert (kits[name].runs_code, kits[name].checks_state) == (made.runs_code, made.checks_state)
    assert {name for name, kit in kits.items() if not kit.tools} == {"world", "recorded"}
    assert kits["search"].tools[1].parameters["required"] == ["query"]


async def test_every_protocol_is_one_that_an_episode_takes(offers: dict[str, EnvironmentOffer]) -> None:
    for offer in offers.values():
        assert len(set(offer.protocols)) == 9
        for name in set(offer.protocols) - {"special_tokens"}:  # which asks for the tokens
            assert protocol(name).name == name


async def test_an_environment_is_asked_once() -> None:
    class Counted(ScriptedEnvironment):
        asked: ClassVar[list[str]] = []

        @classmethod
        def offer(cls) -> Offer:
            cls.asked.append("offer")
            return super().offer()

    catalog = Catalog({"counted": Counted})
    for _ in range(3):
        listed, described = await catalog.overview(), await catalog.describe("counted")
        assert listed.offers[0].protocols == described.protocols
    assert Counted.asked == ["offer"]
