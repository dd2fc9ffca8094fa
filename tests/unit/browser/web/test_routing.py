"""Which function answers which address."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from environments.browser.web.routing import Problem, Router


def handler_of(name: str) -> Callable[[], str]:
    return lambda: name


router = Router()
for method, path in (
    ("GET", "/"),
    ("GET", "/orders"),
    ("GET", "/orders/<number>"),
    ("POST", "/orders/<number>/cancel"),
    ("GET", "/orders/<number>/return/<slug>"),
):
    getattr(router, method.lower())(path)(handler_of(f"{method} {path}"))


@pytest.mark.parametrize(
    ("method", "path", "handler", "parts"),
    [
        ("GET", "/", "GET /", []),
        ("GET", "", "GET /", []),
        ("GET", "/orders", "GET /orders", []),
        ("GET", "/orders/", "GET /orders", []),
        ("HEAD", "/orders", "GET /orders", []),
        ("GET", "/orders/S-1", "GET /orders/<number>", ["S-1"]),
        ("GET", "/orders/a%20b%2Fc", "GET /orders/<number>", ["a b/c"]),
        ("POST", "/orders/S-1/cancel", "POST /orders/<number>/cancel", ["S-1"]),
        ("GET", "/orders/S-1/return/x", "GET /orders/<number>/return/<slug>", ["S-1", "x"]),
        ("GET", "/%6frders", "GET /orders", []),
    ],
)
def test_the_parts_that_vary_are_given_to_the_handler(method: str, path: str, handler: str, parts: list[str]) -> None:
    found, varying = router.find(method, path)
    assert (found(), varying) == (handler, parts)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/x", 404),
        ("GET", "/orders/1/x", 404),
        ("GET", "/orders//cancel", 404),
        ("GET", "/orders/1/cancel", 405),
        ("POST", "/orders", 405),
        ("PUT", "/orders", 405),
        ("GET", "/" + "x" * 1001, 414),
        ("GET", "/" + "/" * 1000, 414),
    ],
)
def test_what_there_is_not_is_a_problem(method: str, path: str, status: int) -> None:
    with pytest.raises(Problem) as caught:
        router.find(method, path)
    assert caught.value.status == status


def test_routes_of_another_file_are_taken_along() -> None:
    other = Router()
    other.include(router)
    assert other.find("GET", "/orders")[0]() == "GET /orders"
