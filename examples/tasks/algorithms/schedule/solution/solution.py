def schedule(tasks: dict[str, list[str]]) -> list[list[str]]:
    needs = {name: set(before) for name, before in tasks.items()}
    for before in tasks.values():
        for name in before:
            needs.setdefault(name, set())
    rounds: list[list[str]] = []
    while needs:
        ready = sorted(name for name, before in needs.items() if not before & needs.keys())
        if not ready:
            raise ValueError(f"a circle: {' -> '.join(circle(needs))}")
        rounds.append(ready)
        for name in ready:
            del needs[name]
    return rounds


def circle(needs: dict[str, set[str]]) -> list[str]:
    """Every task that is left needs another one that is left, so following needs must come back."""
    way = [min(needs)]
    while True:
        following = min(needs[way[-1]] & needs.keys())
        if following in way:
            return way[way.index(following) :]
        way.append(following)
