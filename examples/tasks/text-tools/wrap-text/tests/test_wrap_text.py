"""Hidden from the policy."""

import random


def test_words_fill_lines(candidate):
    assert candidate("the quick brown fox", 9) == ["the quick", "brown fox"]
    assert candidate("the quick brown fox", 8) == ["the", "quick", "brown", "fox"]
    assert candidate("a  b\n c", 10) == ["a b c"]


def test_long_words_are_broken(candidate):
    assert candidate("abcdefgh ij", 3) == ["abc", "def", "gh", "ij"]
    assert candidate("abcdefg hi", 3) == ["abc", "def", "g", "hi"]
    assert candidate("abcdefg h", 3) == ["abc", "def", "g h"]


def test_paragraphs_stay_apart(candidate):
    assert candidate("one two\n\n\nthree", 20) == ["one two", "", "three"]
    assert candidate("\n\none\n \ntwo\n\n", 20) == ["one", "", "two"]


def test_nothing_gives_nothing(candidate):
    assert candidate("", 5) == []
    assert candidate(" \n\n ", 5) == []


def test_no_letter_is_lost_and_no_line_too_long(candidate):
    chance = random.Random(3)
    for _ in range(100):
        words = [
            "".join(chance.choice("abc") for _ in range(chance.randrange(1, 12))) for _ in range(chance.randrange(9))
        ]
        width = chance.randrange(1, 10)
        lines = candidate(" ".join(words), width)
        assert all(0 < len(line) <= width for line in lines)
        assert "".join(lines).replace(" ", "") == "".join(words)
