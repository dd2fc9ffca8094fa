"""Hidden from the policy."""

import random
from collections import Counter


def test_examples(candidate):
    assert candidate("the cat and the dog", 2) == [("the", 2), ("and", 1)]
    assert candidate("", 3) == []
    assert candidate("one", 0) == []


def test_what_a_word_is(candidate):
    assert candidate("Don't DON'T 'quoted' o''clock", 9) == [("don't", 2), ("clock", 1), ("o", 1), ("quoted", 1)]
    assert candidate("abc123def snake_case", 9) == [("abc", 1), ("case", 1), ("def", 1), ("snake", 1)]
    assert candidate("Été été straße", 9) == [("été", 2), ("straße", 1)]


def test_properties(candidate):
    chance = random.Random(8)
    for _ in range(100):
        words = [chance.choice("ab ba c dd e'e".split()) for _ in range(chance.randrange(30))]
        text = "".join(word + chance.choice([" ", ", ", "\n", "! "]) for word in words)
        wanted = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
        count = chance.randrange(6)
        assert candidate(text, count) == wanted[:count]
