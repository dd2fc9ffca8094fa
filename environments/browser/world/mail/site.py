"""Webmail as a site: nothing of it can be seen without a login."""

from __future__ import annotations

from environments.browser.web.forms import area, checkbox, choice, facts, field, grid, hidden, post, submit
from environments.browser.web.html import Html, a, div, h1, h2, p
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.clock import minute
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
from environments.browser.world.mail.data import HOST, INBOX, TRASH, Message
from environments.browser.world.mail.sending import send
from environments.browser.world.site import Visit, WorldSite, add_login, path

router = Router()
PER_PAGE = 10
MAX_SUBJECT, MAX_TEXT, MAX_ADDRESS = 200, 10_000, 100
DONE = {"sent": "Your message has been sent.", "moved": "Moved.", "deleted": "Moved to the trash."}


class MailSite(WorldSite):
    brand = Brand(HOST, "Strandpost", "#1f5f4f", "#edf6f3", "Strandpost, mail for everybody.")
    router = router

    def menu(self, visit: Visit) -> list[Html]:
        if visit.person is None:
            return []
        owner = visit.person.handle
        unread = sum(not message.read for message in self.world.mail.in_folder(owner, INBOX))
        folders = [
            a(f"{folder} ({unread})" if folder == INBOX and unread else folder, href=path("folder", folder))
            for folder in self.world.mail.folders
        ]
        return [a("Compose", href="/compose"), *folders, search_box("/search", "Search mail")]


@router.get("/")
def front(site: WorldSite, visit: Visit) -> Response:
    visit.need_login()
    return Response.redirect(path("folder", INBOX))


def sender_name(site: WorldSite, address: str) -> str:
    """With the address, as pages show it."""
    person = site.world.people.by_email(address)
    name = person.name if person else site.world.mail.names.get(address, "")
    return f"{name} <{address}>" if name else address


@router.get("/folder/<name>")
def show_folder(site: WorldSite, visit: Visit, name: str) -> Response:
    owner = visit.need_login().handle
    if name not in site.world.mail.folders:
        raise Problem(404, "There is no such folder.")
    messages = site.world.mail.in_folder(owner, name)
    number, last = visit.page_number(), max(1, -(-len(messages) // PER_PAGE))
    if number > last:
        raise Problem(404, "There is no such page of the list.")
    site.note_seen(f"mail folder {name}")
    site.note_page(
        Message, lambda sought: (sought.owner, sought.folder) == (owner, name), path("folder", name), number, last
    )
    shown = messages[(number - 1) * PER_PAGE : number * PER_PAGE]
    content = [
        h1(name),
        notice(DONE.get(visit.query.get("done", ""), "")),
        p(f"{len(messages)} messages", class_="dim"),
        _bulk_form(site, name, shown) if shown else p("Nothing here."),
        pager(number, last, lambda page: path("folder", name, page=page), "Newer messages", "Older messages"),
    ]
    return site.page(visit, name, content)


def _bulk_form(site: WorldSite, folder: str, shown: list[Message]) -> Html:
    rows = [
        (
            a(message.subject, href=path("message", str(message.number)), class_=None if message.read else "unread"),
            sender_name(site, message.sender),
            minute(message.time),
            "Read" if message.read else "Unread",
            checkbox(f"Select message {message.number}", f"m{message.number}"),
        )
        for message in shown
    ]
    return post(
        "/move",
        hidden("from", folder),
        grid("Messages, the newest first", ("Subject", "From", "When", "State", "Select"), rows),
        choice("Move selected to", "folder", _others(site, folder)),
        submit("Move"),
    )


def _others(site: WorldSite, folder: str) -> list[tuple[str, str]]:
    """Where a message can be moved from there."""
    return [(each, each) for each in site.world.mail.folders if each != folder]


@router.post("/move")
def move_selected(site: WorldSite, visit: Visit) -> Response:
    owner = visit.need_login().handle
    folder, origin = visit.whole_form("folder", "from")
    if not {folder, origin} <= set(site.world.mail.folders):
        raise Problem(400, "There is no such folder.")
    numbers = [name[1:] for name in visit.form if name.startswith("m") and name[1:].isdigit()]
    for message in [_own(site, owner, number) for number in numbers]:
        message.folder = folder
    return Response.redirect(path("folder", origin, done="moved"))


def _own(site: WorldSite, owner: str, number: str) -> Message:
    """Raises: Problem."""
    known = number.isascii() and number.isdigit() and len(number) < 10
    message = site.world.mail.messages.get(int(number)) if known else None
    if message is None or message.owner != owner:
        raise Problem(404, "You have no such message.")
    return message


@router.get("/search")
def search(site: WorldSite, visit: Visit) -> Response:
    owner = visit.need_login().handle
    wanted = search_words(visit.query.get("q", ""))
    site.note_missed(Message, lambda sought: sought.owner == owner and bool(wanted) and _says(site, sought, wanted))
    own = [message for folder in site.world.mail.folders for message in site.world.mail.in_folder(owner, folder)]
    found = [message for message in own if wanted and _says(site, message, wanted)]
    rows = [
        (
            a(message.subject, href=path("message", str(message.number))),
            sender_name(site, message.sender),
            minute(message.time),
            message.folder,
        )
        for message in found
    ]
    table = grid("Messages found", ("Subject", "From", "When", "Folder"), rows) if rows else p("Nothing found.")
    return site.page(visit, "Search", [h1("Search"), p(f"{len(rows)} messages"), table])


def _says(site: WorldSite, message: Message, wanted: list[str]) -> bool:
    return says(f"{message.subject}\n{sender_name(site, message.sender)}\n{message.to}\n{message.text}", wanted)


@router.get("/message/<number>")
def show_message(site: WorldSite, visit: Visit, number: str) -> Response:
    message = _own(site, visit.need_login().handle, number)
    site.note_seen(f"mail message {number}")
    if not message.read and not site.sealed:
        message.read = True
        site.version += 1
    where = choice("Move to", "folder", _others(site, message.folder))
    content = [
        h1(message.subject),
        facts(
            "Message",
            [
                ("From", sender_name(site, message.sender)),
                ("To", message.to),
                ("When", minute(message.time)),
                ("Folder", message.folder),
            ],
        ),
        div(linked(message.text), class_="letter"),
        h2("What to do with it"),
        p(a("Reply", href=path("message", number, "reply"))),
        post(path("message", number, "move"), where, submit("Move")),
        post(path("message", number, "delete"), submit("Delete")) if message.folder != TRASH else None,
    ]
    return site.page(visit, message.subject, content)


@router.post("/message/<number>/move")
def move(site: WorldSite, visit: Visit, number: str) -> Response:
    message = _own(site, visit.need_login().handle, number)
    (folder,) = visit.whole_form("folder")
    if folder not in site.world.mail.folders:
        raise Problem(400, "There is no such folder.")
    before, message.folder = message.folder, folder
    return Response.redirect(path("folder", before, done="moved"))


@router.post("/message/<number>/delete")
def delete(site: WorldSite, visit: Visit, number: str) -> Response:
    message = _own(site, visit.need_login().handle, number)
    before, message.folder = message.folder, TRASH
    return Response.redirect(path("folder", before, done="deleted"))


@router.get("/compose")
def compose(site: WorldSite, visit: Visit) -> Response:
    visit.need_login()
    return _write_page(site, visit, visit.query.get("to", ""), "", "", "")


@router.get("/message/<number>/reply")
def reply(site: WorldSite, visit: Visit, number: str) -> Response:
    message = _own(site, visit.need_login().handle, number)
    subject = message.subject if message.subject.startswith("Re: ") else f"Re: {message.subject}"
    return _write_page(site, visit, message.sender, subject, "", "")


def _write_page(site: WorldSite, visit: Visit, to: str, subject: str, text: str, wrong: str) -> Response:
    form = post(
        "/send",
        field("To", "to", to),
        field("Subject", "subject", subject),
        area("Message", "text", text, 12),
        submit("Send"),
    )
    return site.page(visit, "Write", [h1("Write a message"), problem(wrong), form], 400 if wrong else 200)


@router.post("/send")
def send_message(site: WorldSite, visit: Visit) -> Response:
    person = visit.need_login()
    to, subject, text = visit.whole_form("to", "subject", "text")
    name, at, host = to.partition("@")
    if not (name and at and "." in host) or " " in to or len(to) > MAX_ADDRESS:
        return _write_page(site, visit, to, subject, text, "That is no address.")
    if not subject or not text or len(subject) > MAX_SUBJECT or len(text) > MAX_TEXT:
        return _write_page(site, visit, to, subject, text, "Write a subject and a text; neither may be too long.")
    send(site.world, person, to, subject, text)
    return Response.redirect(path("folder", INBOX, done="sent"))


add_login(router)
