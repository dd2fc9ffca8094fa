"""Hidden from the policy. Any script is right that is well formed, works, and is as short as can be."""

import itertools
import random


def apply(script, old):
    at, made, changed, kinds = 0, "", 0, []
    for kind, value in script:
        kinds.append(kind)
        if kind == "add":
            assert isinstance(value, str) and value
            made, changed = made + value, changed + len(value)
            continue
        assert kind in ("keep", "drop")
        assert isinstance(value, int) and value >= 1
        assert at + value <= len(old)
        made += old[at : at + value] if kind == "keep" else ""
        changed += value if kind == "drop" else 0
        at += value
    assert at == len(old)
    assert all(before != after for before, after in itertools.pairwise(kinds))
    return made, changed


def distance(old, new):
    row = list(range(len(new) + 1))
    for i, left in enumerate(old, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(new, 1):
            before, row[j] = row[j], before if left == right else 1 + min(row[j], row[j - 1])
    return row[-1]


def test_examples(candidate):
    for old, new in (("", ""), ("", "abc"), ("abc", ""), ("abc", "abc"), ("kitten", "sitting"), ("ab", "ba")):
        assert apply(candidate(old, new), old) == (new, distance(old, new))


def test_nothing_to_do(candidate):
    assert candidate("", "") == []
    assert candidate("abc", "abc") == [("keep", 3)]


def test_properties(candidate):
    chance = random.Random(2)
    for _ in range(150):
        old = "".join(chance.choice("abc") for _ in range(chance.randrange(12)))
        new = "".join(chance.choice("abc") for _ in range(chance.randrange(12)))
        assert apply(candidate(old, new), old) == (new, distance(old, new))


def test_long_texts(candidate):
    chance = random.Random(4)
    old, new = ("".join(chance.choice("abcd") for _ in range(300)) for _ in range(2))
    assert apply(candidate(old, new), old) == (new, distance(old, new))
