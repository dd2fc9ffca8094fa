def edit_script(old: str, new: str) -> list[tuple[str, int | str]]:
    left = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    """The cost of turning what begins at i into what begins at j."""
    for i in range(len(old), -1, -1):
        for j in range(len(new), -1, -1):
            if i == len(old) or j == len(new):
                left[i][j] = len(old) - i + len(new) - j
            elif old[i] == new[j]:
                left[i][j] = left[i + 1][j + 1]
            else:
                left[i][j] = 1 + min(left[i + 1][j], left[i][j + 1])
    return joined(single_steps(old, new, left))


def single_steps(old: str, new: str, left: list[list[int]]) -> list[tuple[str, str]]:
    steps, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            steps.append(("keep", old[i]))
            i, j = i + 1, j + 1
        elif j == len(new) or (i < len(old) and left[i + 1][j] <= left[i][j + 1]):
            steps.append(("drop", old[i]))
            i += 1
        else:
            steps.append(("add", new[j]))
            j += 1
    return steps


def joined(steps: list[tuple[str, str]]) -> list[tuple[str, int | str]]:
    grouped: list[tuple[str, str]] = []
    for kind, char in steps:
        if grouped and grouped[-1][0] == kind:
            grouped[-1] = (kind, grouped[-1][1] + char)
        else:
            grouped.append((kind, char))
    return [(kind, text if kind == "add" else len(text)) for kind, text in grouped]
