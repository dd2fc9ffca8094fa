import re

UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
PARTS = re.compile(r"(-?)\s*" + "".join(rf"(?:(\d+){unit}\s*)?" for unit in UNITS), re.ASCII)


def parse_duration(text: str) -> int:
    text = text.strip().lower()
    if re.fullmatch(r"-?\d+", text, re.ASCII):
        return int(text)
    found = PARTS.fullmatch(text)
    if found is None or not any(found.groups()[1:]):
        raise ValueError(f"{text!r} is no duration")
    seconds = sum(int(count or 0) * size for count, size in zip(found.groups()[1:], UNITS.values(), strict=True))
    return -seconds if found[1] else seconds
