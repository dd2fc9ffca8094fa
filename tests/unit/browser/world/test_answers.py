"""Answers: word for word, but for what says nothing."""

from __future__ import annotations

import pytest

from environments.browser.world.answers import MAX_ANSWER, amount, decimal, is_right, names, text, whole
from environments.browser.world.money import cents_of, euros


@pytest.mark.parametrize("said", ["Lowmoor", "lowmoor", " Lowmoor. ", "“Lowmoor”", "**Lowmoor**", "LOWMOOR\n"])
def test_a_text_is_the_same_but_for_case_spaces_and_quotes(said: str) -> None:
    assert is_right(said, text("Lowmoor", "Low moor"))


@pytest.mark.parametrize("said", ["", "Low", "Lowmoor or The Strand", "The answer is Lowmoor", "not Lowmoor"])
def test_a_text_with_more_or_less_in_it_is_wrong(said: str) -> None:
    assert not is_right(said, text("Lowmoor"))


@pytest.mark.parametrize("said", ["1200", "1,200", " 1 200 ", "1200."])
def test_a_number_is_right_however_its_thousands_are_written(said: str) -> None:
    assert is_right(said, whole(1200))


@pytest.mark.parametrize("said", ["", "1201", "-1200", "1200.5", "1200 people", "²", "1200 1200", "9" * 5000])
def test_another_number_is_wrong(said: str) -> None:
    assert not is_right(said, whole(1200))


@pytest.mark.parametrize("said", ["€1,012.50", "1012.50", "1012.5", "1012.50 euros", "EUR 1012.50", "€ 1012.50."])
def test_an_amount_is_right_with_any_sign_of_its_currency(said: str) -> None:
    assert is_right(said, amount(101250))


@pytest.mark.parametrize("said", ["", "€", "1012", "1012.05", "1012.500", "$1012.50", "1012.50 or 3", "101250"])
def test_another_amount_is_wrong(said: str) -> None:
    assert not is_right(said, amount(101250))


@pytest.mark.parametrize("said", ["4.0", "4", "4.0 stars", "**4**", "4.00", "4 stars.", "4 star"])
def test_a_decimal_is_right_with_or_without_its_last_zero_and_its_unit(said: str) -> None:
    assert is_right(said, decimal("4.0", "stars"))


@pytest.mark.parametrize("said", ["", "4.1", "40", "3.96", "4.0 of 5", "stars", "-4", "4 4", "4.0.0", "٤", "9" * 5000])
def test_another_decimal_is_wrong(said: str) -> None:
    assert not is_right(said, decimal("4.0", "stars"))


@pytest.mark.parametrize("said", ["Ada B, Cem D", "cem d; ada b", "Cem D\nAda B", "Ada B, Cem D,"])
def test_names_are_right_in_any_order(said: str) -> None:
    assert is_right(said, names(["Ada B", "Cem D"]))


@pytest.mark.parametrize("said", ["Ada B", "Ada B, Cem D, Emil F", "Ada B, Ada B", "Ada B Cem D", "Ada B and Cem D"])
def test_other_names_are_wrong(said: str) -> None:
    assert not is_right(said, names(["Ada B", "Cem D"]))


def test_a_long_answer_is_wrong_without_being_read() -> None:
    for rule, right in ((text("a"), "a"), (names(["a"]), "a"), (whole(1), "1"), (amount(100), "1"),
                        (decimal("1", "x"), "1")):  # fmt: skip
        assert is_right(right + " " * (MAX_ANSWER - 1), rule)
        assert not is_right(right + " " * MAX_ANSWER, rule)


@pytest.mark.parametrize("cents", [0, 5, 50, 100, 123456789])
def test_an_amount_is_read_as_it_is_written(cents: int) -> None:
    assert cents_of(euros(cents)) == cents


@pytest.mark.parametrize("text_", ["", ".", "1.", ".5", "1.234", "1e3", "-1", "12345678", "१२", "1.2.3", "€"])
def test_what_is_no_amount_is_none(text_: str) -> None:
    assert cents_of(text_) is None
