"""Hidden from the policy."""

import random
import string


def test_words_are_joined(candidate):
    assert candidate("Hello, World!") == "hello-world"
    assert candidate("  --spaces   and\ttabs-- ") == "spaces-and-tabs"
    assert candidate("C++ in 24 hours") == "c-in-24-hours"


def test_accents_are_removed(candidate):
    assert candidate("Café Ångström") == "cafe-angstrom"
    assert candidate("日本 tour") == "tour"


def test_nothing_usable_is_empty(candidate):
    assert candidate("") == ""
    assert candidate("!!!") == ""


def test_it_is_cut_between_words(candidate):
    assert candidate("one two three", 8) == "one-two"
    assert candidate("one two three", 7) == "one-two"
    assert candidate("one two three", 6) == "one"
    assert candidate("extraordinary", 5) == "extra"
    assert candidate("extraordinary day", 5) == "extra"


def test_any_title_gives_a_clean_slug(candidate):
    chance = random.Random(7)
    allowed = set(string.ascii_lowercase + string.digits + "-")
    for _ in range(200):
        title = "".join(chance.choice(string.printable + "éßñ中") for _ in range(chance.randrange(40)))
        slug = candidate(title, 12)
        assert set(slug) <= allowed
        assert len(slug) <= 12
        assert slug == slug.strip("-")
        assert "--" not in slug
        assert candidate(slug, 12) == slug
