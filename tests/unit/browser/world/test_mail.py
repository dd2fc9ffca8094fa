"""Webmail: reading, answering, putting in order."""

from __future__ import annotations

from environments.browser.world.people import Person
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import Click, Fill, Open, Select, do, log_in


def test_nothing_is_seen_without_a_login_and_then_what_was_asked_for(browser: HttpBrowser, you: Person) -> None:
    page = do(browser, Open("http://mail.test/folder/Receipts"))
    assert page.url == "http://mail.test/login?next=%2Ffolder%2FReceipts"
    do(browser, Fill("User name", you.email), Fill("Password", you.password), Click("button", "Log in"))
    assert browser.page.url == "http://mail.test/folder/Receipts"


def test_a_message_is_read_and_answered(at_mail: HttpBrowser, world: World, you: Person) -> None:
    message = next(each for each in world.mail.in_folder(you.handle, "Inbox") if not each.read)
    page = do(at_mail, Open(f"http://mail.test/message/{message.number}"))
    assert message.read
    assert message.text.split("\n")[0] in page.text
    do(at_mail, Click("link", "Reply"), Fill("Message", "Yes.\nSee you."), Click("button", "Send"))
    (sent,) = world.mail.in_folder(you.handle, "Sent")
    assert (sent.to, sent.subject, sent.text) == (message.sender, f"Re: {message.subject}", "Yes.\nSee you.")


def test_mail_arrives_at_whoever_it_is_for(at_mail: HttpBrowser, world: World, you: Person) -> None:
    friend = world.people.members[0]
    do(at_mail, Click("link", "Compose"), Fill("To", friend.email), Fill("Subject", "Hi"), Fill("Message", "There"))
    do(at_mail, Click("button", "Send"))
    page = do(log_in(HttpBrowser(at_mail.web), "mail.test", friend), Open("http://mail.test/"))
    assert page.rows[0]["Subject"] == "Hi"
    assert page.rows[0]["From"] == f"{you.name} <{you.email}>"


def test_what_is_no_address_is_not_sent_to(at_mail: HttpBrowser, world: World, you: Person) -> None:
    for address in ("", "x", "@mail.test", "a b@mail.test", "a@b", "a" * 200 + "@mail.test"):
        do(at_mail, Open("http://mail.test/compose"), Fill("To", address), Fill("Subject", "x"), Fill("Message", "y"))
        assert "That is no address." in do(at_mail, Click("button", "Send")).text
    assert world.mail.in_folder(you.handle, "Sent") == []


def test_messages_are_moved_singly_and_together(at_mail: HttpBrowser, world: World, you: Person) -> None:
    first, second, third = world.mail.in_folder(you.handle, "Inbox")[:3]
    steps = [Click("checkbox", f"Select message {each.number}") for each in (first, third)]
    do(at_mail, Open("http://mail.test/"), *steps, Select("Move selected to", "Travel"), Click("button", "Move"))
    assert [each.folder for each in (first, second, third)] == ["Travel", "Inbox", "Travel"]
    do(at_mail, Open(f"http://mail.test/message/{second.number}"), Click("button", "Delete"))
    assert second.folder == "Trash"
    do(at_mail, Open(f"http://mail.test/message/{second.number}"), Select("Move to", "Inbox"), Click("button", "Move"))
    assert second.folder == "Inbox"


def test_search_looks_through_all_folders(at_mail: HttpBrowser, world: World, you: Person) -> None:
    order = world.shop.orders_of(you.handle)[-1]
    page = do(at_mail, Fill("Search mail", order.number), Click("button", "Search"))
    assert [(row["Subject"], row["Folder"]) for row in page.rows] == [(f"Your order {order.number}", "Receipts")]


def test_mailboxes_are_their_owners_alone(at_mail: HttpBrowser, world: World) -> None:
    friend = world.people.members[0]
    foreign = world.mail.put(friend.handle, "Inbox", "a@b.test", friend.email, "s", "t", world.clock.next(), read=False)
    for path in (f"message/{foreign.number}", f"message/{foreign.number}/reply"):
        do(at_mail, Open(f"http://mail.test/{path}"))
        assert at_mail.responses[-1].status == 404
    for path in (f"message/{foreign.number}/move", f"message/{foreign.number}/delete"):
        at_mail.visit("POST", f"http://mail.test/{path}", b"folder=Trash")
        assert at_mail.responses[-1].status == 404
    at_mail.visit("POST", "http://mail.test/move", f"from=Inbox&folder=Trash&m{foreign.number}=yes".encode())
    assert (foreign.folder, foreign.read) == ("Inbox", False)
