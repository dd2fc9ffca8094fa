import re
from collections.abc import Mapping

PIECE = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z_]\w*)(?:\|(?P<default>[^{}]*))?\}|[{}]", re.ASCII)


def fill_template(template: str, values: Mapping[str, object]) -> str:
    def fill(found: re.Match[str]) -> str:
        piece, name = found[0], found["name"]
        if piece in ("{{", "}}"):
            return piece[0]
        if name is None:
            raise ValueError(f"a single {piece} at {found.start()}")
        if name in values:
            return str(values[name])
        if found["default"] is None:
            raise KeyError(name)
        return found["default"]

    return PIECE.sub(fill, template)
