import json
import re
from typing import Any


def tidy_contacts(json_text: str) -> list[dict[str, Any]]:
    people: dict[str, dict[str, Any]] = {}
    for record in json.loads(json_text):
        name = " ".join((record.get("name") or "").split())
        if not name:
            continue
        person = people.setdefault(name.lower(), {"name": name, "emails": set(), "phone": None})
        emails = record.get("emails") or []
        person["emails"] |= {
            email.lower() for email in ([emails] if isinstance(emails, str) else emails) if usable(email)
        }
        person["phone"] = person["phone"] or phone_number(record.get("phone") or "")
    tidied = [{**person, "emails": sorted(person["emails"])} for person in people.values()]
    return sorted(tidied, key=lambda person: str(person["name"]))


def usable(email: str) -> bool:
    return re.fullmatch(r"[^@\s]+@[^@\s]*\.[^@\s]*", email) is not None


def phone_number(text: str) -> str | None:
    digits = re.sub(r"\D", "", text, flags=re.ASCII)
    abroad = text.strip().startswith(("+", "00"))
    if digits.startswith("00"):
        digits = digits[2:]
    if len(digits) < 7:
        return None
    return f"+{digits}" if abroad else digits
