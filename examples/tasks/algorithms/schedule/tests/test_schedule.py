"""Hidden from the policy."""

import random
import re


def circle_of(candidate, tasks):
    try:
        candidate(tasks)
    except ValueError as error:
        names = re.search(r"\w+(?: -> \w+)*$", str(error).strip(" .'\""))
        return names[0].split(" -> ") if names else []
    return None


def test_examples(candidate):
    assert candidate({}) == []
    assert candidate({"a": []}) == [["a"]]
    assert candidate({"cook": ["shop", "wash"], "eat": ["cook"], "wash": []}) == [["shop", "wash"], ["cook"], ["eat"]]


def test_a_circle_is_named(candidate):
    for tasks in ({"a": ["a"]}, {"a": ["b"], "b": ["a"]}, {"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"], "y": []}):
        names = circle_of(candidate, tasks)
        assert names and len(set(names)) == len(names)
        assert all(after in tasks[name] for name, after in zip(names, [*names[1:], names[0]], strict=True))


def test_properties(candidate):
    chance = random.Random(9)
    for _ in range(150):
        names = [f"t{number}" for number in range(chance.randrange(1, 10))]
        tasks = {n: [m for m in names[:i] if chance.random() < 0.3] for i, n in enumerate(names)}
        shuffled = dict(chance.sample(list(tasks.items()), len(tasks)))
        rounds = candidate(shuffled)
        at = {name: number for number, names_ in enumerate(rounds) for name in names_}
        assert sorted(at) == sorted(names)
        for name, needs in tasks.items():
            assert at[name] == max((at[need] + 1 for need in needs), default=0)
        assert all(names_ == sorted(names_) for names_ in rounds)
