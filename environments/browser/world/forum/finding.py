"""What an address of the forum means."""

from __future__ import annotations

from environments.browser.web.routing import Problem
from environments.browser.world.forum.data import Board, ForumData, Post, Thread
from environments.browser.world.people import MODERATOR
from environments.browser.world.site import Visit


def find_board(forum: ForumData, slug: str) -> Board:
    """Raises: Problem."""
    if slug not in forum.boards:
        raise Problem(404, "There is no such board.")
    return forum.boards[slug]


def find_thread(forum: ForumData, number: str) -> Thread:
    """Raises: Problem."""
    thread = next((each for each in forum.threads.values() if str(each.number) == number), None)
    if thread is None:
        raise Problem(404, "There is no such thread.")
    return thread


def find_post(forum: ForumData, number: str) -> tuple[Thread, Post]:
    """Raises: Problem."""
    for thread in forum.threads.values():
        for post in thread.posts:
            if str(post.number) == number:
                return thread, post
    raise Problem(404, "There is no such post.")


def is_moderator(visit: Visit) -> bool:
    return visit.person is not None and MODERATOR in visit.person.roles


def need_moderator(visit: Visit) -> None:
    """Raises: Problem, LoginNeeded."""
    visit.need_login()
    if not is_moderator(visit):
        raise Problem(403, "Only moderators can do that.")
