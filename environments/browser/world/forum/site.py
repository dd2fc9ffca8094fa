"""The forum as a site: reading, writing and reporting; what moderators do is in moderation.py."""

from __future__ import annotations

from environments.browser.web.forms import area, choice, field, grid, post, submit
from environments.browser.web.html import Html, a, article, h1, h2, header, li, p, strong, ul
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.clock import day, minute
from environments.browser.world.forum import moderation
from environments.browser.world.forum.data import HOST, MAX_TEXT, MAX_TITLE, REASONS, Board, Post, Report, Thread
from environments.browser.world.forum.finding import find_board, find_post, find_thread, is_moderator
from environments.browser.world.look import (
    Brand,
    linked,
    notice,
    pager,
    problem,
    says,
    search_box,
    search_words,
)
from environments.browser.world.site import Visit, WorldSite, add_login, path

router = Router()
PER_PAGE = 5
DONE = {
    "posted": "Your post is there.",
    "reported": "Thank you. A moderator will look at the post.",
    "locked": "The thread is locked.",
    "opened": "The thread is open again.",
    "moved": "The thread has been moved.",
    "hidden": "The post is hidden.",
    "shown": "The post is shown again.",
}


class ForumSite(WorldSite):
    brand = Brand(HOST, "Talk of the Strand", "#4a2f6f", "#f4effa", "Be kind to each other.")
    router = router

    def menu(self, visit: Visit) -> list[Html]:
        links = [a("Boards", href="/"), a("Members", href="/members"), search_box("/search", "Search the forum")]
        return [*links, a("Reported posts", href="/reports")] if is_moderator(visit) else links


@router.get("/")
def list_boards(site: WorldSite, visit: Visit) -> Response:
    forum = site.world.forum
    rows = [
        (
            a(board.title, href=path("board", board.slug)),
            board.about,
            sum(thread.board == board.slug for thread in forum.threads.values()),
        )
        for board in forum.boards.values()
    ]
    content = [h1("Boards"), grid("All boards", ("Board", "About", "Threads"), rows)]
    return site.page(visit, "Boards", content)


@router.get("/board/<slug>")
def show_board(site: WorldSite, visit: Visit, slug: str) -> Response:
    board = find_board(site.world.forum, slug)
    threads = [thread for thread in site.world.forum.threads.values() if thread.board == slug]
    threads.sort(key=lambda thread: (thread.posts[-1].time, thread.number), reverse=True)
    number, last = visit.page_number(), max(1, -(-len(threads) // PER_PAGE))
    if number > last:
        raise Problem(404, "There is no such page of the list.")
    site.note_seen(f"forum board {slug}")
    content = [
        h1(board.title),
        p(board.about),
        _threads_table(
            site, "Threads, the last written in first", threads[(number - 1) * PER_PAGE : number * PER_PAGE]
        ),
        pager(number, last, lambda page: path("board", slug, page=page)),
        p(a("Start a thread", href=path("board", slug, "new"))),
    ]
    return site.page(visit, board.title, content)


def _threads_table(site: WorldSite, title: str, threads: list[Thread]) -> Html:
    for thread in threads:
        site.note_seen(f"forum listed {thread.number}")
    rows = [
        (
            a(thread.title, href=path("thread", str(thread.number))),
            site.world.forum.boards[thread.board].title,
            site.world.people.everybody[thread.starter].name,
            len(thread.posts) - 1,
            minute(thread.posts[-1].time),
            "Locked" if thread.locked else "Open",
        )
        for thread in threads
    ]
    return grid(title, ("Thread", "Board", "Started by", "Replies", "Last post", "State"), rows)


@router.get("/search")
def search(site: WorldSite, visit: Visit) -> Response:
    wanted = search_words(visit.query.get("q", ""))
    site.note_missed(Thread, lambda sought: bool(wanted) and _says(sought, wanted))
    found = [thread for thread in site.world.forum.threads.values() if wanted and _says(thread, wanted)]
    table = _threads_table(site, "Threads found", found) if found else p("Nothing found.")
    return site.page(visit, "Search", [h1("Search"), p(f"{len(found)} threads"), table])


def _says(thread: Thread, wanted: list[str]) -> bool:
    return says("\n".join([thread.title, *(post.text for post in thread.posts if not post.hidden)]), wanted)


@router.get("/members")
def list_members(site: WorldSite, visit: Visit) -> Response:
    everybody = sorted(site.world.people.everybody.values(), key=lambda each: each.name)
    links = [li(a(each.name, href=path("member", each.handle))) for each in everybody]
    return site.page(visit, "Members", [h1("Members"), ul(links)])


@router.get("/member/<handle>")
def show_member(site: WorldSite, visit: Visit, handle: str) -> Response:
    person = site.world.people.everybody.get(handle)
    if person is None:
        raise Problem(404, "There is no such member.")
    site.note_seen(f"forum member {handle}")
    written = [
        (post, thread)
        for thread in site.world.forum.threads.values()
        for post in thread.posts
        if post.author == handle and not post.hidden
    ]
    written.sort(key=lambda pair: (pair[0].time, pair[0].number), reverse=True)
    rows = [
        (minute(post.time), a(thread.title, href=path("thread", str(thread.number))), post.text)
        for post, thread in written
    ]
    content = [
        h1(person.name),
        p(f"{len(written)} posts"),
        grid("Posts, the newest first", ("When", "Thread", "Text"), rows),
    ]
    return site.page(visit, person.name, content)


@router.get("/thread/<number>")
def show_thread(site: WorldSite, visit: Visit, number: str) -> Response:
    thread = find_thread(site.world.forum, number)
    site.note_seen(f"forum thread {number}")
    site.note_seen(f"forum listed {number}")
    board = site.world.forum.boards[thread.board]
    content = [
        p(a(board.title, href=path("board", board.slug))),
        h1(thread.title),
        notice(DONE.get(visit.query.get("done", ""), "")),
        p(strong("This thread is locked."), " Nobody can reply.") if thread.locked else None,
        moderation.thread_tools(site, thread) if is_moderator(visit) else None,
        [_post(site, visit, thread, each) for each in thread.posts],
        h2("Reply"),
        _reply_form(thread, visit),
    ]
    return site.page(visit, thread.title, content)


def _post(site: WorldSite, visit: Visit, thread: Thread, each: Post) -> Html:
    author = site.world.people.everybody[each.author]
    by = [a(author.name, href=path("member", author.handle)), f" wrote on {minute(each.time)}, post #{each.number}"]
    if each.hidden and not is_moderator(visit):
        return article(header(p(by)), p("A moderator has hidden this post.", class_="dim"), class_="post")
    tools = moderation.post_tools(each) if is_moderator(visit) else _report_link(each)
    hidden_note = p("Hidden", class_="dim") if each.hidden else None
    return article(header(p(by)), hidden_note, p(linked(each.text)), tools, class_="post")


def _report_link(each: Post) -> Html:
    return p(a(f"Report post #{each.number}", href=path("post", str(each.number), "report")), class_="dim")


def _reply_form(thread: Thread, visit: Visit) -> Html:
    if thread.locked:
        return p("This thread is locked.")
    if visit.person is None:
        return p(a("Log in to reply", href=path("login", next=path("thread", str(thread.number)))))
    return post(path("thread", str(thread.number), "reply"), area("Your reply", "text"), submit("Post reply"))


@router.post("/thread/<number>/reply")
def reply(site: WorldSite, visit: Visit, number: str) -> Response:
    person = visit.need_login()
    thread = find_thread(site.world.forum, number)
    (text,) = visit.whole_form("text")
    if thread.locked:
        raise Problem(409, "This thread is locked.")
    if not text or len(text) > MAX_TEXT:
        raise Problem(400, f"A post has from 1 to {MAX_TEXT} characters.")
    thread.posts.append(Post(site.world.forum.next_post(), person.handle, site.world.clock.next(), text))
    return Response.redirect(path("thread", number, done="posted"))


@router.get("/board/<slug>/new")
def show_new(site: WorldSite, visit: Visit, slug: str) -> Response:
    visit.need_login()
    return _new_page(site, visit, find_board(site.world.forum, slug), "")


def _new_page(site: WorldSite, visit: Visit, board: Board, wrong: str) -> Response:
    form = post(
        path("board", board.slug, "new"),
        field("Title", "title", visit.form.get("title", "")),
        area("Text", "text", visit.form.get("text", "")),
        submit("Start thread"),
    )
    content = [h1(f"Start a thread in {board.title}"), problem(wrong), form]
    return site.page(visit, "Start a thread", content, 400 if wrong else 200)


@router.post("/board/<slug>/new")
def start(site: WorldSite, visit: Visit, slug: str) -> Response:
    person, forum = visit.need_login(), site.world.forum
    board = find_board(forum, slug)
    title, text = visit.whole_form("title", "text")
    if not title or not text or len(title) > MAX_TITLE or len(text) > MAX_TEXT:
        return _new_page(site, visit, board, "Write a title and a text; neither may be too long.")
    number = max(forum.threads) + 1
    forum.threads[number] = Thread(
        number, slug, title, [Post(forum.next_post(), person.handle, site.world.clock.next(), text)]
    )
    return Response.redirect(path("thread", str(number), done="posted"))


@router.get("/post/<number>/report")
def show_report(site: WorldSite, visit: Visit, number: str) -> Response:
    visit.need_login()
    thread, each = find_post(site.world.forum, number)
    form = post(
        path("post", number, "report"),
        choice("Reason", "reason", [("", "Choose"), *((reason, reason) for reason in REASONS)]),
        submit("Report"),
    )
    content = [h1(f"Report post #{number}"), p(f"In “{thread.title}”, on {day(each.time)}:"), p(each.text), form]
    return site.page(visit, "Report a post", content)


@router.post("/post/<number>/report")
def report(site: WorldSite, visit: Visit, number: str) -> Response:
    person = visit.need_login()
    thread, each = find_post(site.world.forum, number)
    (reason,) = visit.whole_form("reason")
    if reason not in REASONS:
        raise Problem(400, "Choose a reason.")
    if any(known.by == person.handle for known in each.reports):
        raise Problem(409, "You have reported this post already.")
    each.reports.append(Report(person.handle, reason))
    return Response.redirect(path("thread", str(thread.number), done="reported"))


router.include(moderation.router)
add_login(router)
