"""Slow and plain: every simple way, tried."""


def every_way(edges, start, goal, seen=()):
    if start == goal:
        yield 0, [goal]
        return
    for origin, target, cost in edges:
        if origin == start and target not in (*seen, start):
            for rest, names in every_way(edges, target, goal, (*seen, start)):
                yield cost + rest, [start, *names]


def best(edges, start, goal):
    return min(every_way(edges, start, goal), key=lambda way: (way[0], len(way[1]), way[1]), default=None)
