"""Short ways through the sites, for tests that begin behind them."""

from __future__ import annotations

from environments.browser.world.gold.page import Page
from environments.browser.world.gold.steps import Click, Fill, Open, Select, Step
from environments.browser.world.people import Person
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser

__all__ = ["Click", "Fill", "Open", "Select", "do", "in_stock", "log_in"]


def do(browser: HttpBrowser, *steps: Step) -> Page:
    """The page after the last of them."""
    for step in steps:
        browser.act(step)
    return browser.page


def log_in(browser: HttpBrowser, host: str, person: Person) -> HttpBrowser:
    steps = [Open(f"http://{host}/login"), Fill("User name", person.handle), Fill("Password", person.password)]
    page = do(browser, *steps, Click("button", "Log in"))
    assert f"Logged in as {person.name}" in page.text
    return browser


def in_stock(world: World, count: int = 3) -> str:
    """The slug of some product of which there are so many."""
    return next(product.slug for product in world.shop.products.values() if product.stock >= count)
