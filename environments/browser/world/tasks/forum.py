"""Errands at the forum: to keep order, to answer, to count, to report."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from environments.browser.world import answers
from environments.browser.world.clock import day
from environments.browser.world.forum.data import REASONS, Board, Post, Report, Thread
from environments.browser.world.forum.talk import HOME, SALE, TITLES
from environments.browser.world.shop.browse import stars
from environments.browser.world.shop.data import Product
from environments.browser.world.tasks.template import (
    MISSING,
    Errand,
    New,
    Template,
    Told,
    Twins,
    Ways,
    account,
    all_of,
    any_of,
    login,
    pick,
    write,
)
from environments.browser.world.world import World

FORUM, SHOP, WIKI = "forum.test", "shop.test", "wiki.test"
SPAM, INSULT, OFF_TOPIC, DANGEROUS = REASONS


def _threads(world: World, board: str = "") -> list[Thread]:
    return [thread for thread in world.forum.threads.values() if board in ("", thread.board)]


def _posts(world: World, board: str = "") -> list[Post]:
    return [post for thread in _threads(world, board) for post in thread.posts]


def _add_post(world: World, thread: Thread, author: str, text: str) -> Post:
    """Behind those that are there."""
    post = Post(world.forum.next_post(), author, thread.posts[-1].time + timedelta(minutes=17), text)
    thread.posts.append(post)
    return post


# Keeping order


def _prompt(world: World, what: str) -> str:
    return write(f"You are a moderator of forum.test. {what}", account(world.people.moderator, FORUM))


def _ordering(world: World, what: str, told: Told, wanted: Mapping[str, object], seen: str) -> Errand:
    return Errand(
        _prompt(world, what),
        {**login(world.people.moderator), **told},
        wanted=wanted,
        milestones={f"forum {seen}": f"saw the {seen.split()[0]}"},
    )


def _hide_spam(world: World, _: random.Random) -> Errand | None:
    """Some of what was reported is not spam, by what it was reported for."""
    spam = [post for post in _posts(world) if any(report.reason == SPAM for report in post.reports)]
    others = [post for post in _posts(world) if post.reports and post not in spam]
    if not others:
        return None
    what = f"Hide every post that somebody has reported as {SPAM!r}, and no other."
    return _ordering(world, what, {"reason": SPAM}, {f"hiding of post {post.number}": True for post in spam}, "reports")


def _lock_stale(world: World, rng: random.Random) -> Errand | None:
    board = rng.choice(list(world.forum.boards.values()))
    threads = sorted(_threads(world, board.slug), key=lambda thread: thread.posts[-1].time)
    count = rng.randint(2, 3)
    limit = threads[count].posts[-1].time.date()
    stale = [thread for thread in threads if thread.posts[-1].time.date() < limit]
    what = f"Lock every thread on the board {board.title!r} whose last post is from before {day(limit)}."
    told = {"board": board.title, "before": day(limit)}
    return _ordering(
        world, what, told, {f"lock of thread {each.number}": True for each in stale}, f"board {board.slug}"
    )


def _to_move(title: str, home: Board) -> str:
    return f"The thread {title!r} is on the wrong board. Move it to {home.title!r} and lock it."


def _misplace(world: World, rng: random.Random, thread: Thread) -> Board:
    """Onto another board than the one that it gives back, where it has been."""
    home = world.forum.boards[thread.board]
    thread.board = rng.choice([board.slug for board in world.forum.boards.values() if board is not home])
    return home


def _move(world: World, rng: random.Random) -> Errand | None:
    """It has got onto the wrong board; its title says what it is about, and its board has to be found."""
    thread = rng.choice([each for each in _threads(world) if each.board in set(HOME.values())])
    home = _misplace(world, rng, thread)
    wanted: dict[str, object] = {f"board of thread {thread.number}": home.slug, f"lock of thread {thread.number}": True}
    told = {"thread": thread.title, "board": home.title}
    return _ordering(world, _to_move(thread.title, home), told, wanted, f"thread {thread.number}")


def _no_such_thread(world: World, rng: random.Random) -> Errand | None:
    """There is another one about the same product, on a wrong board: boards tell how many threads they have."""
    thread, product = _about(world, rng)
    title = rng.choice([each for each in TITLES if each != SALE]).format(product.title)
    if any(each.title == title for each in _threads(world)):
        return None
    home = _misplace(world, rng, thread)
    elsewhere = [f"forum listed {each.number}" for each in _threads(world) if each.board != home.slug]
    return Errand(
        _prompt(world, _to_move(title, home)),
        {**login(world.people.moderator), "thread": title, "board": home.title},
        looked=MISSING + all_of(*elsewhere),
        infeasible=True,
        sought=Thread(0, "", title, []),
    )


MODERATE = Template(
    "moderate", "Keep order in a forum.", (FORUM,), (_hide_spam, _lock_stale, _move, Twins(_move, _no_such_thread))
)


# Answering


def _replying(
    world: World, thread: Thread, what: str, told: Told, right: Mapping[str, Any], seen: dict[str, str], looked: Ways
) -> Errand:
    you = world.people.you
    deed = New(
        "post ",
        {
            "replied in the right thread": lambda post: post[0] == thread.number and post[1] == you.handle,
            "in the right words": lambda post: answers.is_right(post[2], right),
        },
    )
    return Errand(
        write(what, account(you, FORUM)),
        {**login(you), "thread": thread.title, **told},
        new=(deed,),
        milestones={f"forum thread {thread.number}": "saw the thread", **seen},
        looked=looked,
    )


def _about(world: World, rng: random.Random) -> tuple[Thread, Product]:
    """A thread that nobody has locked, and the product that it is about."""
    thread = rng.choice([each for each in _threads(world) if each.board in set(HOME.values())])
    return thread, next(each for each in world.shop.products.values() if each.title in thread.title)


def _price(world: World, rng: random.Random) -> Errand | None:
    thread, product = _about(world, rng)
    what = (
        f"In the thread {thread.title!r} at forum.test, reply with what the product that the thread is about costs at "
        "shop.test at present. Your reply is the price alone, such as €12.34."
    )
    seen = {f"shop product {product.slug}": "saw the product"}
    looked = any_of(f"shop listed {product.slug}")
    return _replying(world, thread, what, {"ask": "price"}, answers.amount(product.price_cents), seen, looked)


def _rating(world: World, rng: random.Random) -> Errand | None:
    thread, product = _about(world, rng)
    if not product.reviews:
        return None
    what = (
        f"In the thread {thread.title!r} at forum.test, reply with how the product that the thread is about is rated "
        "at shop.test. Your reply is the number of stars alone, such as 2.5."
    )
    seen = {f"shop product {product.slug}": "saw the product"}
    looked, right = any_of(f"shop listed {product.slug}"), answers.decimal(stars(product.rating), "stars")
    return _replying(world, thread, what, {"ask": "rating"}, right, seen, looked)


def _founding(world: World, rng: random.Random) -> Errand | None:
    thread, product = _about(world, rng)
    maker = world.lore.makers[product.maker]
    what = (
        f"In the thread {thread.title!r} at forum.test, reply with the year in which the maker of the product that the "
        "thread is about was founded, which wiki.test knows. Your reply is the year alone."
    )
    seen = {f"wiki {maker.name}": "saw the article on the maker"}
    return _replying(world, thread, what, {"ask": "founded"}, answers.whole(maker.founded), seen, any_of(*seen))


def _locked(world: World, rng: random.Random) -> Errand | None:
    thread, _ = _about(world, rng)
    thread.locked = True
    you = world.people.you
    what = (
        f"In the thread {thread.title!r} at forum.test, reply with what the product that the thread is about costs at "
        "shop.test at present. Your reply is the price alone, such as €12.34."
    )
    return Errand(
        write(what, account(you, FORUM)),
        {**login(you), "thread": thread.title, "ask": "price"},
        looked=any_of(f"forum listed {thread.number}"),
        infeasible=True,
    )


REPLY = Template(
    "reply",
    "Answer in a forum with what another site says.",
    (FORUM, SHOP, WIKI),
    (_price, _rating, _founding, Twins(_price, _locked)),
)


# Counting


def _asking(question: str, told: Told, right: dict[str, object], decoy: object, board: Board, looked: Ways) -> Errand:
    return Errand(
        write("At forum.test:", question),
        told,
        answer=right,
        decoys=(str(decoy),),
        milestones={f"forum board {board.slug}": "saw the board"},
        looked=looked,
    )


def _listed(threads: list[Thread]) -> Ways:
    return all_of(*(f"forum listed {thread.number}" for thread in threads))


def _counted(threads: list[Thread], author: str) -> Ways:
    """In all threads but one, if there are several: a lead may be too large for what the last of them can hold."""
    written = [thread for thread in threads if any(post.author == author for post in thread.posts)]
    marks = frozenset(f"forum thread {thread.number}" for thread in written)
    return tuple(marks - {mark} or marks for mark in sorted(marks)) + any_of(f"forum member {author}")


def _last_of_member(world: World, rng: random.Random) -> Errand | None:
    """On another board they wrote later."""
    board, person = rng.choice(list(world.forum.boards.values())), rng.choice(world.people.members)
    threads = _threads(world, board.slug)
    here = [(post.time, thread) for thread in threads for post in thread.posts if post.author == person.handle]
    if len(here) < 2:
        return None
    newest, thread = max(here, key=lambda pair: pair[0])
    last = max(post.time for post in _posts(world) if post.author == person.handle)
    if day(last) == day(newest):
        return None
    question = (
        f"on which day has {person.name} written the newest of their posts on the board {board.title!r}? The first "
        "post of a thread counts too. Answer with the day alone, such as 2031-01-31."
    )
    told = {"member": person.name, "board": board.title, "ask": "member"}
    looked = any_of(f"forum thread {thread.number}", f"forum member {person.handle}")
    return _asking(question, told, answers.text(day(newest)), day(last), board, looked)


def _most_active(world: World, rng: random.Random) -> Errand | None:
    """Not on all boards together."""
    board = rng.choice(list(world.forum.boards.values()))
    here = Counter(post.author for post in _posts(world, board.slug)).most_common(2)
    everywhere = Counter(post.author for post in _posts(world)).most_common(1)
    if len(here) < 2 or here[0][1] == here[1][1] or here[0][0] == everywhere[0][0]:
        return None
    question = (
        f"who has written the most posts on the board {board.title!r}? The first post of a thread counts too. Answer "
        "with the full name alone."
    )
    right, decoy = (world.people.everybody[handle].name for handle in (here[0][0], everywhere[0][0]))
    looked = _counted(_threads(world, board.slug), here[0][0])
    return _asking(question, {"board": board.title, "ask": "most"}, answers.text(right), decoy, board, looked)


def _replies(world: World, rng: random.Random) -> Errand | None:
    """Over two pages."""
    board = rng.choice(list(world.forum.boards.values()))
    threads = _threads(world, board.slug)
    right = sum(len(thread.posts) - 1 for thread in threads)
    newest = sorted(threads, key=lambda each: (each.posts[-1].time, each.number))[1:]
    question = (
        f"how many replies do all threads on the board {board.title!r} have together? Answer with the number alone."
    )
    decoy = sum(len(thread.posts) - 1 for thread in newest)
    if decoy == right:
        return None
    told = {"board": board.title, "ask": "replies"}
    return _asking(question, told, answers.whole(right), decoy, board, _listed(threads))


def _longest(world: World, rng: random.Random) -> Errand | None:
    """The one who has started it, not the one who wrote in it last."""
    board = rng.choice(list(world.forum.boards.values()))
    ranked = sorted(_threads(world, board.slug), key=lambda thread: len(thread.posts), reverse=True)
    longest = ranked[0]
    if len(longest.posts) == len(ranked[1].posts) or longest.posts[-1].author == longest.starter:
        return None
    question = f"who has started the thread with the most replies on the board {board.title!r}? Give the name alone."
    right, decoy = (world.people.everybody[post.author].name for post in (longest.posts[0], longest.posts[-1]))
    told = {"board": board.title, "ask": "longest"}
    return _asking(question, told, answers.text(right), decoy, board, _listed(ranked))


POSTS = Template(
    "posts",
    "Find out what was written in a forum, when and by whom.",
    (FORUM,),
    (_last_of_member, _most_active, _replies, _longest),
)


# Reporting


def _reporting(world: World, what: str, reason: str, told: Told, posts: list[Post], seen: str) -> Errand:
    you = world.people.you
    wanted: dict[str, object] = {
        f"reports of post {post.number}": (*post.reports, Report(you.handle, reason)) for post in posts
    }
    return Errand(
        write(f"At forum.test, report {what} The reason to give is {reason!r}.", account(you, FORUM)),
        {**login(you), "reason": reason, **told},
        wanted=wanted,
        milestones={f"forum {seen}": f"saw the {seen.split()[0]}"},
    )


def _advertising(world: World, rng: random.Random) -> Errand | None:
    thread = rng.choice(_threads(world))
    person = rng.choice(world.people.members)
    post = _add_post(world, thread, person.handle, "Win a holiday on the coast, only today, write to me!")
    _add_post(world, thread, rng.choice(world.people.members).handle, "Please no holiday offers in here.")
    what = f"the post in the thread {thread.title!r} that offers to win a holiday, not the one that complains of it."
    told = {"thread": thread.title, "says": "Win a holiday"}
    return _reporting(world, what, SPAM, told, [post], f"thread {thread.number}")


def _all_of_member(world: World, rng: random.Random) -> Errand | None:
    thread = rng.choice(_threads(world))
    known = {post.author for post in thread.posts}
    person = pick(rng, [each for each in world.people.members if each.handle not in known])
    other = pick(rng, [each for each in world.people.members if each.handle in known])
    if person is None or other is None:
        return None
    texts = ("By the way, who watches the match tonight?", "The referee was blind last week.")
    posts = [_add_post(world, thread, person.handle, text) for text in texts]
    _add_post(world, thread, other.handle, "Could we stay with the topic, please?")
    what = f"every post by {person.name} in the thread {thread.title!r}."
    told = {"thread": thread.title, "by": person.name}
    return _reporting(world, what, OFF_TOPIC, told, posts, f"thread {thread.number}")


def _dangerous(world: World, rng: random.Random) -> Errand | None:
    """Only the search finds it."""
    thread = rng.choice([each for each in _threads(world) if each.board in set(HOME.values())])
    person, other = rng.sample(world.people.members, 2)
    post = _add_post(world, thread, person.handle, "Just bridge the fuse with a paper clip, it works for me.")
    _add_post(world, thread, other.handle, "No! Never touch a fuse like that.")
    what = "the post, somewhere in the forum, whose author advises to bridge a fuse with a paper clip."
    told = {"says": "paper clip"}
    return _reporting(world, what, DANGEROUS, told, [post], f"thread {thread.number}")


def _newest(world: World, rng: random.Random) -> Errand | None:
    board = rng.choice(list(world.forum.boards.values()))
    newest = max(_threads(world, board.slug), key=lambda thread: (thread.posts[-1].time, thread.number))
    if any(newest.posts[-1].reports):
        return None
    what = f"the newest post on the board {board.title!r}."
    return _reporting(world, what, INSULT, {"board": board.title}, [newest.posts[-1]], f"board {board.slug}")


REPORT = Template(
    "report", "Report posts to the moderators.", (FORUM,), (_advertising, _all_of_member, _dangerous, _newest)
)
