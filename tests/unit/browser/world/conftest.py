"""A world, its web, and a browser for it."""

from __future__ import annotations

import pytest

from environments.browser.world.making import make_web, make_world
from environments.browser.world.people import Person
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import log_in


@pytest.fixture
def world() -> World:
    return make_world("tests")


@pytest.fixture
def browser(world: World) -> HttpBrowser:
    return HttpBrowser(make_web(world))


@pytest.fixture
def you(world: World) -> Person:
    return world.people.you


@pytest.fixture
def at_mail(browser: HttpBrowser, you: Person) -> HttpBrowser:
    return log_in(browser, "mail.test", you)


@pytest.fixture
def at_shop(browser: HttpBrowser, you: Person) -> HttpBrowser:
    return log_in(browser, "shop.test", you)
