"""Hidden from the policy: other data of the same kind."""

import json


def tidy(candidate, *records):
    return candidate(json.dumps(records))


def test_names_are_merged(candidate):
    people = tidy(
        candidate, {"name": " Bob  Ray"}, {"name": "bob ray", "emails": "b@x.org"}, {"name": "al"}, {"name": "  "}
    )
    assert people == [
        {"name": "Bob Ray", "emails": ["b@x.org"], "phone": None},
        {"name": "al", "emails": [], "phone": None},
    ]


def test_emails(candidate):
    found = ["B@x.org", "a@x.org", "b@X.org", "no", "@x.org", "a@b", "a b@x.org", "a@b@x.org"]
    (person,) = tidy(
        candidate, {"name": "A", "emails": found}, {"name": "a", "emails": None}, {"name": "A", "emails": "c@x.org"}
    )
    assert person["emails"] == ["a@x.org", "b@x.org", "c@x.org"]


def test_phones(candidate):
    for given, wanted in (
        ("+1 (555) 123-4567", "+15551234567"),
        ("0015551234567", "+15551234567"),
        ("555 1234", "5551234"),
        ("12345", None),
        ("", None),
    ):
        assert tidy(candidate, {"name": "A", "phone": given})[0]["phone"] == wanted, given


def test_the_first_usable_phone_counts(candidate):
    (person,) = tidy(
        candidate, {"name": "A", "phone": "12"}, {"name": "A", "phone": "5551234"}, {"name": "A", "phone": "5559999"}
    )
    assert person["phone"] == "5551234"


def test_nobody(candidate):
    assert candidate("[]") == []
