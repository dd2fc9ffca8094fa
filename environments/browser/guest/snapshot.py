"""The text of a page, as Playwright's `aria_snapshot(mode="ai")` gives it: read, shortened, searched, compared.

    - list "Reviews" [ref=e38]:
      - listitem [ref=e39]:
        - text: "Jo:"
        - 'link "Report: spam" [ref=f1e41] [cursor=pointer]':
          - /url: "#1"

A line is one node: its key (a role, a name as JSON, attributes; in single quotes where YAML wants them) and its value.
What a page chose to say stands in the name and in the value alone, both escaped, so a `[ref=e1]` in them is no ref:
only what follows the name is looked at. Lines without a ref (texts, addresses, options) belong to the nearest ref.

Everything here takes time linear in the text, and knows the standard library alone: it runs beside the browser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

ACTABLE = frozenset(
    "button link textbox searchbox combobox listbox option checkbox radio switch slider spinbutton menuitem "
    "menuitemcheckbox menuitemradio tab treeitem".split()
)
"""Roles of what can be acted on; besides, everything over which the pointer becomes a hand."""
TOLD_BY_WORDS = frozenset("row listitem article treeitem".split())
"""Roles that mostly have no name: what they are is told by the words in them."""
MAX_FOUND = 50
MAX_SHOWN = 300
MAX_WORDS = 80
MAX_PATH = 4
MIN_LIKENESS = 0.3

_NAME = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_LINE = re.compile(rf"( *)- (?:'([^']*(?:''[^']*)*)'|([a-z-]+(?: {_NAME})?(?: \[[^\]]*\])*))(?::(?: (.*))?)?", re.S)
_KEY = re.compile(rf"([a-z-]+)(?: ({_NAME}))?((?: \[[^\]]*\])*)", re.S)
_REF = re.compile(r" \[ref=((?:f[0-9]+)?e[0-9]+)\]")
_REF_PARTS = re.compile(r"(f[0-9]+)?e([0-9]{1,9})")


@dataclass(slots=True)
class Node:
    """One line."""

    line: str
    """Without its indentation and its dash."""
    depth: int
    role: str = ""
    """Empty for a property such as an address."""
    name: str = ""
    """As JSON, with its quotes."""
    attributes: str = ""
    value: str = ""
    """As YAML: in double quotes where it has to be."""
    ref: str = ""
    end: int = 0
    """The number of the first line that is not in it any more."""

    @property
    def bare(self) -> str:
        """The line without what is in it; a text that ends so is in double quotes."""
        return self.line.removesuffix(":")

    @property
    def label(self) -> str:
        """What it is called where it is not the matter itself."""
        name = f"{self.role} {self.name}" if self.name else self.role or self.line
        return _short(name) + (f" [ref={self.ref}]" if self.ref else "")

    @property
    def words(self) -> str:
        """What it says, on one line, still escaped."""
        return " ".join(_bare(part) for part in (self.name, self.value) if part)

    @property
    def actable(self) -> bool:
        return bool(self.ref) and (self.role in ACTABLE or "[cursor=pointer]" in self.attributes)


def parse(text: str) -> list[Node]:
    """Every line of a snapshot, in order."""
    nodes: list[Node] = []
    open_nodes: list[Node] = []
    for number, line in enumerate(text.split("\n") if text else ()):
        node = _node(line)
        while open_nodes and open_nodes[-1].depth >= node.depth:
            open_nodes.pop().end = number
        open_nodes.append(node)
        nodes.append(node)
    for node in open_nodes:
        node.end = len(nodes)
    return nodes


def _node(line: str) -> Node:
    found = _LINE.fullmatch(line)
    if found is None:
        bare = line.lstrip(" ")
        return Node(bare.removeprefix("- "), (len(line) - len(bare)) // 2)
    indent, quoted, plain, value = found.groups()
    key = _KEY.fullmatch(quoted.replace("''", "'") if quoted is not None else plain)
    if key is None:
        return Node(line[len(indent) + 2 :], len(indent) // 2)
    role, name, attributes = key.groups()
    ref = _REF.search(attributes)
    shown = key.group() + (line[found.end(2) + 1 :] if quoted is not None else line[found.end(3) :])
    return Node(shown, len(indent) // 2, role, name or "", attributes, value or "", ref.group(1) if ref else "")


def refs(text: str) -> dict[str, str]:
    """What each ref stands for, in the order of the page."""
    return {node.ref: node.label for node in parse(text) if node.ref}


def subtree(text: str, ref: str) -> str:
    """The part of a page that is one element; empty when there is none with this ref."""
    lines = text.split("\n")
    nodes = parse(text)
    for number, node in enumerate(nodes):
        if node.ref == ref:
            return "\n".join(line[2 * node.depth :] for line in lines[number : node.end])
    return ""


def depth(text: str, levels: int) -> str:
    """Only so many levels, at least one; what is deeper is counted."""
    nodes = parse(text)
    kept = []
    for number, node in enumerate(nodes):
        if node.depth < levels or (node.depth == levels and not node.role):  # an address belongs to its link
            left_out = sum(1 for _ in _hidden(nodes, number)) if node.depth == levels - 1 else 0
            line = f"{'  ' * node.depth}- {node.line}"
            kept.append(f"{line} ({_lines(left_out)} inside)" if left_out else line)
    return "\n".join(kept)


def _hidden(nodes: Sequence[Node], number: int) -> Iterator[Node]:
    """What is in a node but its own properties."""
    own = nodes[number].depth + 1
    return (each for each in nodes[number + 1 : nodes[number].end] if each.role or each.depth > own)


def cut(text: str, max_chars: int, offset: int = 0) -> tuple[str, str, int]:
    """At most so many characters from `offset` on, in whole lines where that is possible.

    With it come what part of the text that is, which is empty when it is all of it, and where the rest begins, 0 when
    there is none.
    """
    end = len(text)
    max_chars = max(1, max_chars)
    if end - offset > max_chars:
        line_end = text.rfind("\n", offset, offset + max_chars + 1)
        end = line_end if line_end > offset else offset + max_chars
    kept = text[offset:end]
    if len(kept) == len(text):
        return kept, "", 0
    first, lines = text.count("\n", 0, offset) + 1, text.count("\n") + 1
    note = f"lines {first} to {first + kept.count(chr(10))} of {lines}, {len(kept)} of {len(text)} characters"
    following = end + (text[end : end + 1] == "\n")
    return kept, note, following if end < len(text) else 0


def interactive(text: str) -> str:
    """Only what can be acted on, below those around it that have a name, or words that tell them apart."""
    nodes = parse(text)
    acts = _count_actable(nodes)
    lines: list[str] = []
    around: list[tuple[int, int]] = []
    """Where what is shown ends, and its level."""
    words = _words_around(nodes)
    for number, node in enumerate(nodes):
        while around and around[-1][0] <= number:
            around.pop()
        level = around[-1][1] + 1 if around else 0
        if node.actable or (level and (node.role == "option" or node.line.startswith("/placeholder: "))):
            shown = node.bare
        elif (node.name or number in words) and acts[node.end] > acts[number]:
            shown = f"{node.role}{' ' * bool(node.name)}{node.name}{node.attributes}"
        else:
            continue
        said = f": {words[number]}" if words.get(number) and shown.endswith(("]", '"', node.role)) else ""
        lines.append(f"{'  ' * level}- {shown}{said}")
        around.append((node.end, level))
    return "\n".join(lines)


def _count_actable(nodes: Sequence[Node]) -> list[int]:
    """How many there are before each line."""
    counts = [0]
    for node in nodes:
        counts.append(counts[-1] + node.actable)
    return counts


def _words_around(nodes: Sequence[Node]) -> dict[int, str]:
    """What is said in a row, an item, or something without a name that can be acted on, by its line's number.

    What is said inside of anything else that can be acted on is that one's own.
    """
    said: dict[int, str] = {}
    holders: list[int] = []
    silent_until = 0
    for number, node in enumerate(nodes):
        while holders and nodes[holders[-1]].end <= number:
            holders.pop()
        if node.role in TOLD_BY_WORDS or (node.actable and not node.name):
            holders.append(number)
            said[number] = ""
        elif node.actable:
            silent_until = max(silent_until, node.end)
        if holders and node.role and number >= silent_until and len(said[holders[-1]]) < MAX_WORDS:
            own = node.words if holders[-1] != number else ""
            said[holders[-1]] += f"{' · ' if said[holders[-1]] and own else ''}{_short(own, MAX_WORDS)}"
    return said


def find(text: str, query: str) -> str:
    """Every line that says the query, in any case, or else all of its words; with what it is in."""
    nodes = parse(text)
    wanted = " ".join(query.casefold().split())
    said = [_plain(node) for node in nodes]
    found = [number for number, words in enumerate(said) if wanted in words]
    if not found:
        parts = wanted.split()
        found = [
            number
            for number, words in enumerate(said)
            if all(part in f"{nodes[number].role} {words}" for part in parts)
        ]
    shown = [f"- {_short(nodes[number].bare)}{_inside(path)}" for number, path in _with_paths(nodes, found[:MAX_FOUND])]
    if len(found) > MAX_FOUND:
        shown.append(f"({len(found) - MAX_FOUND} more: look for something more exact)")
    return "\n".join(shown)


def _plain(node: Node) -> str:
    """What a line says, as it is read."""
    said = f"{_decoded(node.name)} {_decoded(node.value)}" if node.role else node.line
    return " ".join(said.casefold().split())


def _with_paths(nodes: Sequence[Node], numbers: Iterable[int]) -> Iterator[tuple[int, list[Node]]]:
    """Each with the nodes around it, the outermost first."""
    wanted = set(numbers)
    path: list[Node] = []
    for number, node in enumerate(nodes if wanted else ()):
        while path and path[-1].depth >= node.depth:
            path.pop()
        if number in wanted:
            yield number, list(path)
        path.append(node)


def _inside(path: Sequence[Node]) -> str:
    """The nearest ref, and what tells above it."""
    near = max((number for number, node in enumerate(path) if node.ref), default=len(path))
    told = [node for node in path[:near] if node.name or node.role not in ("", "generic", "rowgroup")]
    labels = [node.label for node in (*told[-MAX_PATH + 1 :], *path[near : near + 1])]
    return f" (in {' > '.join(labels)})" if labels else ""


def nearest(wanted: str, text: str, n: int = 3) -> list[str]:
    """What may have been meant by a ref that there is not, or by a name: the likeliest first, each with its ref."""
    known = [node for node in parse(text) if node.ref]
    parts = _REF_PARTS.fullmatch(wanted)
    if parts:
        frame, number = parts.group(1) or "", int(parts.group(2))
        scored = [(_distance(node.ref, frame, number), order) for order, node in enumerate(known)]
    else:
        grams = _grams(wanted)
        scored = [(-_likeness(grams, node), order) for order, node in enumerate(known)]
        scored = [each for each in scored if each[0] < -MIN_LIKENESS]
    return [known[order].label for _, order in sorted(scored)[:n]]


def _distance(ref: str, frame: str, number: int) -> float:
    """Another frame's are further away than any of the same."""
    parts = _REF_PARTS.fullmatch(ref)
    if parts is None:
        return 2e9
    return abs(int(parts.group(2)) - number) + 1e9 * ((parts.group(1) or "") != frame)


def _grams(text: str) -> set[str]:
    padded = f"  {' '.join(text[:MAX_SHOWN].casefold().split())} "
    return {padded[start : start + 3] for start in range(len(padded) - 2)}


def _likeness(grams: set[str], node: Node) -> float:
    """From 0 to 1: how many of the threes of letters of both are the same."""
    own = _grams(f"{_decoded(node.name)} {node.role}")
    return 2 * len(grams & own) / (len(grams) + len(own))


def difference(before: str, after: str) -> str:
    """What is new (+), gone (-), changed (~) or elsewhere (>), by refs; empty when nothing is."""
    old, new = _Page(before), _Page(after)
    lines: list[str] = []
    skip_until = 0
    for number, node in enumerate(new.nodes):
        if number < skip_until or not node.ref:
            continue
        if node.ref not in old.own:
            where = new.label(new.parent[node.ref])
            lines.append(f"+ {node.bare}{f' (in {where})' * bool(where)}")
            lines += [f"+ {'  ' * (each.depth - node.depth)}{each.line}" for each in new.nodes[number + 1 : node.end]]
            skip_until = node.end
        else:
            lines += _changes(old, new, node)
    lines += _changes(old, new, None)
    lines += [
        f"- {node.label}{f' and {_lines(node.end - number - 1)} inside' * (node.end > number + 1)}"
        for number, node in enumerate(old.nodes)
        if node.ref and node.ref not in new.own and (not old.parent[node.ref] or old.parent[node.ref] in new.own)
    ]
    return "\n".join(lines)


class _Page:
    """A snapshot by refs; what is outside of all of them belongs to the ref ``."""

    def __init__(self, text: str) -> None:
        self.nodes = parse(text)
        self.own: dict[str, list[str]] = {"": []}
        """Its line, and those lines in it that have no ref."""
        self.children: dict[str, list[str]] = {"": []}
        self.parent: dict[str, str] = {}
        self._by_ref: dict[str, Node] = {}
        path: list[Node] = []
        for node in self.nodes:
            while path and path[-1].depth >= node.depth:
                path.pop()
            holder = path[-1].ref if path else ""
            if node.ref:
                self.own[node.ref], self.children[node.ref] = [node.bare], []
                self.parent[node.ref], self._by_ref[node.ref] = holder, node
                self.children[holder].append(node.ref)
                path.append(node)
            else:
                self.own[holder].append(node.bare)

    def label(self, ref: str) -> str:
        return self._by_ref[ref].label if ref else ""


def _changes(old: _Page, new: _Page, node: Node | None) -> Iterator[str]:
    """Of an element that both have; None is the page itself."""
    ref = node.ref if node else ""
    if old.own[ref] != new.own[ref]:
        yield f"~ {_short(' | '.join(new.own[ref]) or '(nothing)')} (was: {_short(' | '.join(old.own[ref]))})"
    if node and old.parent[ref] != new.parent[ref]:
        yield f"> {node.label} is now in {new.label(new.parent[ref]) or 'the page itself'}"
    if old.children[ref] == new.children[ref]:
        return
    here, there = set(new.children[ref]), set(old.children[ref])
    stayed = [each for each in new.children[ref] if each in there]
    if stayed != [each for each in old.children[ref] if each in here]:
        yield f"> {new.label(ref) or 'the page'} has another order: {_short(' '.join(new.children[ref]))}"


def _lines(count: int) -> str:
    return f"{count} line{'s' * (count != 1)}"


def _short(text: str, max_chars: int = MAX_SHOWN) -> str:
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _decoded(text: str) -> str:
    """Of a name or a value, what the page says."""
    if "\\" not in text or text[:1] != '"':
        return _bare(text)
    try:
        return str(json.loads(text))
    except ValueError:  # YAML's \x9f is not JSON's
        return _bare(text)
