import heapq
from collections import defaultdict


def shortest_path(edges: list[tuple[str, str, int]], start: str, goal: str) -> tuple[int, list[str]] | None:
    back: dict[str, list[tuple[str, int]]] = defaultdict(list)
    ahead: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for origin, target, cost in edges:
        back[target].append((origin, cost))
        ahead[origin].append((target, cost))
    best = {goal: (0, 0)}
    waiting = [((0, 0), goal)]
    while waiting:
        known, node = heapq.heappop(waiting)
        if known > best[node]:
            continue
        for origin, cost in back[node]:
            value = (known[0] + cost, known[1] + 1)
            if origin not in best or value < best[origin]:
                best[origin] = value
                heapq.heappush(waiting, (value, origin))
    if start not in best:
        return None
    names = [start]
    while names[-1] != goal:
        cost, length = best[names[-1]]
        names.append(min(t for t, c in ahead[names[-1]] if best.get(t) == (cost - c, length - 1)))
    return best[start][0], names
