"""Hidden from the policy."""

import itertools
import random


def covered(intervals):
    return {number for start, end in intervals for number in range(start, end + 1)}


def test_examples(candidate):
    assert candidate([]) == []
    assert candidate([(5, 5)]) == [(5, 5)]
    assert candidate([(1, 4), (2, 3)]) == [(1, 4)]
    assert candidate([(6, 8), (1, 2), (3, 4)]) == [(1, 4), (6, 8)]


def test_a_backward_pair_is_refused(candidate):
    try:
        candidate([(1, 2), (4, 3)])
    except ValueError:
        return
    raise AssertionError("accepted")


def test_the_argument_stays_as_it_is(candidate):
    intervals = [(3, 4), (1, 2)]
    candidate(intervals)
    assert intervals == [(3, 4), (1, 2)]


def test_properties(candidate):
    chance = random.Random(11)
    for _ in range(150):
        pairs = [(start := chance.randrange(-30, 30), start + chance.randrange(8)) for _ in range(chance.randrange(12))]
        merged = candidate(pairs)
        assert covered(merged) == covered(pairs)
        assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(merged))
        assert candidate(merged) == merged


def test_many(candidate):
    many = [(3 * number, 3 * number + 1) for number in range(20_000)]
    random.Random(1).shuffle(many)
    assert len(candidate(many)) == 20_000
