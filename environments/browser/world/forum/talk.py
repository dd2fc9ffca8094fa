"""What was said in the forum before the story begins."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from environments.browser.world.clock import days_ago, moment_on
from environments.browser.world.forum.data import REASONS, Board, ForumData, Post, Report, Thread
from environments.browser.world.people import Person
from environments.browser.world.shop.data import Product, ShopData

BOARDS = (
    Board("kitchen", "Kitchen corner", "Kettles, toasters and what to do with them"),
    Board("outdoors", "Out and about", "Tents, backpacks, routes"),
    Board("sound-light", "Sound and light", "Headphones and lamps"),
    Board("market", "Marketplace", "Second-hand goods among members"),
    Board("lounge", "Lounge", "Everything else"),
)
HOME = {
    "kettles": "kitchen",
    "toasters": "kitchen",
    "tents": "outdoors",
    "backpacks": "outdoors",
    "headphones": "sound-light",
    "lamps": "sound-light",
}
"""The board where goods of a category are talked about."""
SALE = "Selling my {0}"
"""Only on the marketplace."""
TITLES = (
    "Anybody using the {0}?",
    "{0} after one year",
    "Is the {0} worth it?",
    "{0} or something else?",
    "Trouble with the {0}",
    SALE,
    "How to clean the {0}",
)
IDLE = (
    "What are you reading this spring?",
    "Introduce yourself",
    "Best bakery in town",
    "Train delays again",
    "Favourite walks",
    "Garden plans for this year",
)
OPENINGS = (
    "I am thinking of getting one and would like to hear from people who have it.",
    "Mine arrived last month and I have a few questions.",
    "Before I order: is there anything I should know?",
    "I have been comparing for weeks and cannot decide.",
)
REPLIES = (
    "I have had one for a year and would take it again.",
    "Mine was fine until the hinge gave in.",
    "Have a look at the article on the maker, it explains a lot.",
    "Depends on what you need it for.",
    "The newer model is not much better, save your money.",
    "Ask the shop, they answered me within a day.",
    "Agreed with the post above.",
    "I sent mine back and do not regret it.",
)
SPAM = (
    "Earn a fortune from home, write to me for details!!!",
    "Cheap copies of every brand, best prices, contact me.",
    "You have been chosen for a free holiday, reply today.",
    "Follow my channel for miracle weight loss.",
)
PER_BOARD = 6


def start_talk(rng: random.Random, shop: ShopData, members: tuple[Person, ...]) -> ForumData:
    """No two threads have the same title. Posts are numbered in the order of their threads, not of their times."""
    forum = ForumData({board.slug: board for board in BOARDS}, {})
    for board in BOARDS:
        for title, product in _topics(rng, board.slug, shop):
            number = 100 + len(forum.threads) * 7 + rng.randint(0, 6)
            forum.threads[number] = _thread(rng, forum, number, board.slug, title, product, members)
    _spread_spam(rng, forum, members)
    return forum


def _topics(rng: random.Random, board: str, shop: ShopData) -> list[tuple[str, Product | None]]:
    if board == "lounge":
        return [(title, None) for title in IDLE]
    goods = [product for product in shop.products.values() if board in (HOME[product.category], "market")]
    chosen = rng.sample(goods, PER_BOARD)
    others = [title for title in TITLES if title != SALE]
    patterns = [SALE] * PER_BOARD if board == "market" else rng.sample(others, PER_BOARD)
    return [(pattern.format(product.title), product) for pattern, product in zip(patterns, chosen, strict=True)]


def _thread(
    rng: random.Random,
    forum: ForumData,
    number: int,
    board: str,
    title: str,
    product: Product | None,
    members: tuple[Person, ...],
) -> Thread:
    time = moment_on(days_ago(rng.randint(4, 200)), rng.randint(300, 1300))
    opening = rng.choice(OPENINGS) + (f" It is this one: {product.url}" if product else "")
    thread = Thread(number, board, title, [Post(forum.next_post(), rng.choice(members).handle, time, opening)])
    for text in rng.sample(REPLIES, rng.randint(1, 6)):
        time += timedelta(minutes=rng.randint(5, 700))
        thread.posts.append(Post(forum.next_post(), rng.choice(members).handle, time, text))
    return thread


def _spread_spam(rng: random.Random, forum: ForumData, members: tuple[Person, ...]) -> None:
    """Some is reported for what it is; some harmless posts are reported as well."""
    threads = list(forum.threads.values())
    for thread in rng.sample(threads, 6):
        spam = Post(forum.next_post(), rng.choice(members).handle, _after(rng, thread), rng.choice(SPAM))
        spam.reports += [Report(person.handle, REASONS[0]) for person in rng.sample(members, rng.randint(1, 3))]
        thread.posts.append(spam)
    for thread in rng.sample(threads, 4):
        post = rng.choice(thread.posts)
        if not post.reports:
            post.reports.append(Report(rng.choice(members).handle, rng.choice(REASONS[1:])))


def _after(rng: random.Random, thread: Thread) -> datetime:
    return thread.posts[-1].time + timedelta(minutes=rng.randint(5, 700))
