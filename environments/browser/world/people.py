"""Who lives in the world. Everybody has one name, one mailbox and one password, the same at every site."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

GIVEN = (
    "Aldo Birte Caspar Delia Edvin Fenja Gorm Hedda Ilmo Jorun Kersti Lasse Mirel Nevin Odile Pavo Runa Selma "
    "Tarik Una Veit Wanda Ylva Zeno Amund Brisa Corin Dagny Elio Frieda"
).split()
FAMILY = (
    "Achterberg Bellweg Corvane Dunkeld Esterholt Fairlow Gasparo Hallgrim Ivarsen Jellinek Kirkvold Lindqvist "
    "Marchetti Nordby Oakeson Pellegrin Quandt Rothwell Sandoval Tidemark Ulvang Vasser Winterbourne Zeller"
).split()
WORDS = "amber birch cobalt delta ember fjord garnet harbor indigo juniper kelp larch maple nickel onyx pine".split()
MEMBERS, AGENTS = 22, 5
MODERATOR, AGENT = "moderator", "agent"


@dataclass(frozen=True)
class Person:
    name: str
    handle: str
    password: str
    roles: frozenset[str] = field(default=frozenset())
    """Of the forum, a moderator; of the desk, an agent."""

    @property
    def email(self) -> str:
        return f"{self.handle}@mail.test"


@dataclass(frozen=True)
class People:
    everybody: dict[str, Person]
    """By handle."""
    you: Person
    """In whose name the policy acts."""
    moderator: Person
    agents: tuple[Person, ...]
    """Of the desk; the first is the one whose account a policy may be given."""
    members: tuple[Person, ...]
    """Everybody else."""

    def by_email(self, address: str) -> Person | None:
        handle, _, host = address.strip().lower().partition("@")
        return self.everybody.get(handle) if host == "mail.test" else None


def make_people(rng: random.Random) -> People:
    """No two have the same given name."""
    given = rng.sample(GIVEN, MEMBERS + AGENTS + 2)
    family = [rng.choice(FAMILY) for _ in given]
    roles = [frozenset[str]()] * (MEMBERS + 1) + [frozenset({MODERATOR})] + [frozenset({AGENT})] * AGENTS
    people = [
        Person(f"{first} {last}", f"{first}.{last}".lower(), _password(rng), role)
        for first, last, role in zip(given, family, roles, strict=True)
    ]
    return People(
        everybody={person.handle: person for person in people},
        you=people[0],
        members=tuple(people[1 : MEMBERS + 1]),
        moderator=people[MEMBERS + 1],
        agents=tuple(people[MEMBERS + 2 :]),
    )


def _password(rng: random.Random) -> str:
    return f"{rng.choice(WORDS)}-{rng.choice(WORDS)}-{rng.randint(10, 99)}"
