"""JSON that may stand in a page's `script` element, whatever its texts say."""

from __future__ import annotations

import json
from typing import Any

_MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def encode(value: Any) -> str:
    """ASCII without `<`, `>` and `&`: nothing in it ends an element, begins a comment or names a character.

    Those three stand in no JSON but in its texts, where an escape means the same. U+2028 and U+2029, line ends to some
    readers, are escaped with all that is not ASCII. Raises: ValueError for a number that JSON has not.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character, escape in _MARKUP.items():
        text = text.replace(character, escape)
    return text
