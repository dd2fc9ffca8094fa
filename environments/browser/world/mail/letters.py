"""What is in your mailbox when the story begins, and what others have written to each other before."""

from __future__ import annotations

import random
from datetime import datetime

from environments.browser.world.clock import days_ago, moment_on
from environments.browser.world.lore import MAKERS, TOWNS
from environments.browser.world.mail.data import ARCHIVE, FOLDERS, FURTHER, INBOX, TRASH, MailData
from environments.browser.world.people import People
from environments.browser.world.shop.checkout import confirmation
from environments.browser.world.shop.data import ShopData

NEWSLETTERS = {
    "news@marngoods.test": "Marn Goods News",
    "weekly@strandtimes.test": "Strand Times Weekly",
    "offers@veyferries.test": "Vey Ferries",
    "hello@knotclub.test": "The Knot Club",
}
HEADLINES = (
    "Spring is here",
    "This week's picks",
    "You will like this",
    "Last chance",
    "What our readers say",
    "New and noted",
)
PRIVATE = (
    ("Sunday", "Shall we walk along the {river} on Sunday? I bring the tea."),
    ("Your jacket", "You left your jacket at our place in {town}. I can bring it next week."),
    ("Photos", "The photos from {town} are finally sorted. Come by and have a look."),
    ("Book club", "We meet at my place on the {day}th. The book is as thick as a brick, so begin soon."),
    ("Moving boxes", "Do you still have the moving boxes? I move to {town} in a month."),
    ("Recipe", "Here is what you asked for: two cups of flour, one of milk, a pinch of salt, and patience."),
    ("Tickets", "I got two tickets for the concert in {town}. The {day}th, at eight."),
    ("Thank you", "Thank you for helping with the shelf. It still stands."),
    ("Train times", "The train to {town} leaves at a quarter past seven now, an hour earlier than before."),
)
RIVERS = ("Marn", "Vey", "Sill")


def write_letters(rng: random.Random, people: People, shop: ShopData) -> MailData:
    """Messages are numbered in the order of their times."""
    drafts: list[tuple[datetime, str, str, str, str]] = [
        *_private(rng, people),
        *_newsletters(rng),
        *_receipts(people, shop),
    ]
    drafts.sort()
    mail = MailData(
        names={**NEWSLETTERS, "orders@shop.test": "Marn Goods Orders", "support@desk.test": "Marn Goods Support"}
    )
    you = people.you
    for time, folder, sender, subject, text in drafts:
        old = (days_ago(0) - time.date()).days > 25
        mail.put(you.handle, folder, sender, you.email, subject, text, time, read=old or rng.random() < 0.5)
    mail.folders = (*FOLDERS, *sorted(rng.sample(FURTHER, 2)))
    return mail


def _private(rng: random.Random, people: People) -> list[tuple[datetime, str, str, str, str]]:
    letters = []
    for subject, pattern in PRIVATE:
        person = rng.choice(people.members)
        text = pattern.format(town=rng.choice(TOWNS), river=rng.choice(RIVERS), day=rng.randint(18, 27))
        time = moment_on(days_ago(rng.randint(1, 60)), rng.randint(400, 1300))
        letters.append((time, rng.choice((INBOX, INBOX, INBOX, ARCHIVE, "Family")), person.email, subject, text))
    return letters


def _newsletters(rng: random.Random) -> list[tuple[datetime, str, str, str, str]]:
    letters = []
    for address, name in NEWSLETTERS.items():
        for headline in rng.sample(HEADLINES, rng.randint(2, 4)):
            time = moment_on(days_ago(rng.randint(1, 60)), rng.randint(300, 700))
            text = f"{headline}: this time with a look behind the scenes of {rng.choice(MAKERS)}.\n\nYours, {name}"
            letters.append((time, rng.choice((INBOX, INBOX, INBOX, TRASH)), address, f"{name}: {headline}", text))
    return letters


def _receipts(people: People, shop: ShopData) -> list[tuple[datetime, str, str, str, str]]:
    return [
        (order.placed, "Receipts" if (days_ago(0) - order.placed.date()).days > 40 else INBOX, "orders@shop.test",
         f"Your order {order.number}", confirmation(order))
        for order in shop.orders_of(people.you.handle)
    ]  # fmt: skip
