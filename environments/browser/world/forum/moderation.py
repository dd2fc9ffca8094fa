"""What moderators do: hide posts, lock and move threads, go through what was reported."""

from __future__ import annotations

from environments.browser.web.forms import choice, grid, post, submit
from environments.browser.web.html import Html, a, div, h1, p
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.forum.data import Post, Thread
from environments.browser.world.forum.finding import find_post, find_thread, need_moderator
from environments.browser.world.site import Visit, WorldSite, path

router = Router()


def thread_tools(site: WorldSite, thread: Thread) -> Html:
    base = ("thread", str(thread.number))
    boards = [(board.slug, board.title) for board in site.world.forum.boards.values()]
    lock = (
        post(path(*base, "unlock"), submit("Unlock thread"))
        if thread.locked
        else post(path(*base, "lock"), submit("Lock thread"))
    )
    move = post(path(*base, "move"), choice("Move to", "board", boards, thread.board), submit("Move thread"))
    return div(lock, move, class_="quiet")


def post_tools(each: Post) -> Html:
    base = ("post", str(each.number))
    said = "; ".join(report.reason for report in each.reports)
    tool = (
        post(path(*base, "show"), submit(f"Show post #{each.number}"))
        if each.hidden
        else post(path(*base, "hide"), submit(f"Hide post #{each.number}"))
    )
    return div(p(f"Reported: {said}", class_="dim") if said else None, tool, class_="quiet")


@router.get("/reports")
def list_reports(site: WorldSite, visit: Visit) -> Response:
    need_moderator(visit)
    site.note_seen("forum reports")
    reported = [(each, thread) for thread in site.world.forum.threads.values() for each in thread.posts if each.reports]
    rows = [
        (
            f"#{each.number}",
            a(thread.title, href=path("thread", str(thread.number))),
            site.world.people.everybody[each.author].name,
            each.text,
            "; ".join(report.reason for report in each.reports),
            "Hidden" if each.hidden else "Shown",
        )
        for each, thread in reported
    ]
    headers = ("Post", "Thread", "Author", "Text", "Reasons", "State")
    return site.page(visit, "Reported posts", [h1("Reported posts"), grid("All that were reported", headers, rows)])


@router.post("/post/<number>/hide")
def hide(site: WorldSite, visit: Visit, number: str) -> Response:
    return _set_hidden(site, visit, number, hidden=True)


@router.post("/post/<number>/show")
def show(site: WorldSite, visit: Visit, number: str) -> Response:
    return _set_hidden(site, visit, number, hidden=False)


def _set_hidden(site: WorldSite, visit: Visit, number: str, *, hidden: bool) -> Response:
    need_moderator(visit)
    thread, each = find_post(site.world.forum, number)
    each.hidden = hidden
    return Response.redirect(path("thread", str(thread.number), done="hidden" if hidden else "shown"))


@router.post("/thread/<number>/lock")
def lock(site: WorldSite, visit: Visit, number: str) -> Response:
    return _set_locked(site, visit, number, locked=True)


@router.post("/thread/<number>/unlock")
def unlock(site: WorldSite, visit: Visit, number: str) -> Response:
    return _set_locked(site, visit, number, locked=False)


def _set_locked(site: WorldSite, visit: Visit, number: str, *, locked: bool) -> Response:
    need_moderator(visit)
    find_thread(site.world.forum, number).locked = locked
    return Response.redirect(path("thread", number, done="locked" if locked else "opened"))


@router.post("/thread/<number>/move")
def move(site: WorldSite, visit: Visit, number: str) -> Response:
    need_moderator(visit)
    thread = find_thread(site.world.forum, number)
    (board,) = visit.whole_form("board")
    if board not in site.world.forum.boards:
        raise Problem(400, "There is no such board.")
    thread.board = board
    return Response.redirect(path("thread", number, done="moved"))
