"""The encyclopaedia as a site."""

from __future__ import annotations

from environments.browser.web.forms import area, field, grid, hidden, post, submit
from environments.browser.web.html import Html, a, h1, h2, li, nav, p, pre, ul
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.clock import minute
from environments.browser.world.look import Brand, notice, problem, says, search_box, search_words
from environments.browser.world.people import MODERATOR, Person
from environments.browser.world.site import Visit, WorldSite, add_login
from environments.browser.world.wiki.data import (
    HOST,
    MAX_SUMMARY,
    MAX_TEXT,
    Article,
    Revision,
    article_path,
    title_of,
)
from environments.browser.world.wiki.markup import render

router = Router()
MAX_FOUND = 30
DONE = {"saved": "Your change has been saved.", "undone": "The article is as it was in that revision."}


class WikiSite(WorldSite):
    brand = Brand(HOST, "Openleaf", "#2f4f6f", "#eef3f8", "Openleaf is written by its members.")
    router = router

    def menu(self, visit: Visit) -> list[Html]:
        return [
            a("All articles", href="/all"),
            a("Recent changes", href="/changes"),
            search_box("/search", "Search Openleaf"),
        ]


@router.get("/")
def front(site: WorldSite, visit: Visit) -> Response:
    starts = ("Upper Marn", "Coastal Vey", "The Strand", "Lowmoor")
    content = [
        h1("Openleaf, the encyclopaedia"),
        p("Everything on the country's towns, makers and people."),
        h2("Where to begin"),
        ul([li(a(title, href=article_path(title))) for title in starts], li(a("All articles", href="/all"))),
    ]
    return site.page(visit, "Start", content)


@router.get("/all")
def list_all(site: WorldSite, visit: Visit) -> Response:
    site.note_missed(Article, lambda _: True)
    content = [
        h1("All articles"),
        ul([li(a(title, href=article_path(title))) for title in sorted(site.world.wiki.articles)]),
    ]
    return site.page(visit, "All articles", content)


@router.get("/changes")
def recent(site: WorldSite, visit: Visit) -> Response:
    changes = [(each, article) for article in site.world.wiki.articles.values() for each in article.revisions]
    changes.sort(key=lambda pair: (pair[0].time, pair[1].title), reverse=True)
    rows = [
        (minute(each.time), a(article.title, href=article_path(article.title)), each.author, each.summary)
        for each, article in changes[:40]
    ]
    content = [h1("Recent changes"), grid("The newest first", ("When", "Article", "Author", "Summary"), rows)]
    return site.page(visit, "Recent changes", content)


@router.get("/search")
def search(site: WorldSite, visit: Visit) -> Response:
    asked = visit.query.get("q", "")
    wanted = search_words(asked)
    found = [title for title in sorted(site.world.wiki.articles) if _says(site.world.wiki.articles[title], wanted)]
    found.sort(key=lambda title: not says(title, wanted))
    if len(found) <= MAX_FOUND:
        site.note_missed(Article, lambda sought: bool(wanted) and _says(sought, wanted))
    content = [
        h1(f"Articles that say “{asked}”" if wanted else "Search"),
        p(f"{len(found)} found" if wanted else "Type what you look for."),
        ul([li(a(title, href=article_path(title))) for title in found[:MAX_FOUND]]) if found and wanted else None,
    ]
    return site.page(visit, "Search", content)


def _says(article: Article, wanted: list[str]) -> bool:
    return says(f"{article.title}\n{article.text}", wanted)


def _find(site: WorldSite, part: str) -> Article:
    """Raises: Problem."""
    article = site.world.wiki.articles.get(title_of(part))
    if article is None:
        site.note_missed(Article, lambda sought: sought.title == title_of(part))
        raise Problem(404, "There is no article of that name.")
    return article


def _tabs(article: Article) -> Html:
    base = article_path(article.title)
    links = [("Article", base), ("Edit", f"{base}/edit"), ("History", f"{base}/history")]
    return nav(ul([li(a(said, href=url)) for said, url in links], class_="pages"), aria_label="Article")


@router.get("/wiki/<title>")
def show(site: WorldSite, visit: Visit, title: str) -> Response:
    article = _find(site, title)
    site.note_seen(f"wiki {article.title}")
    if article.protected:
        site.note_seen(f"wiki protection of {article.title}")
    content = [
        _tabs(article),
        h1(article.title),
        notice(DONE.get(visit.query.get("done", ""), "")),
        p("This article is protected: only moderators can change it.", class_="dim") if article.protected else None,
        render(article.title, article.text, site.world.wiki.articles),
    ]
    return site.page(visit, article.title, content)


@router.get("/wiki/<title>/history")
def history(site: WorldSite, visit: Visit, title: str) -> Response:
    article = _find(site, title)
    site.note_seen(f"wiki history {article.title}")
    rows = [_history_row(article, revision) for revision in reversed(article.revisions)]
    headers = ("Revision", "When", "Author", "Summary", "Restore")
    content = [_tabs(article), h1(f"History of {article.title}"), grid("Revisions, the newest first", headers, rows)]
    return site.page(visit, f"History of {article.title}", content)


def _history_row(article: Article, revision: Revision) -> tuple[object, ...]:
    number = str(revision.number)
    restore = post(
        f"{article_path(article.title)}/restore",
        hidden("revision", number),
        submit("Restore", aria_label=f"Restore revision {number}"),
    )
    newest = revision is article.revisions[-1]
    return (
        a(f"Revision {number}", href=f"{article_path(article.title)}/revision/{number}"),
        minute(revision.time),
        revision.author,
        revision.summary,
        "This is how the article is now" if newest else restore,
    )


def _revision(article: Article, number: str) -> Revision:
    """Raises: Problem."""
    found = [each for each in article.revisions if str(each.number) == number]
    if not found:
        raise Problem(404, "There is no such revision.")
    return found[0]


@router.get("/wiki/<title>/revision/<number>")
def show_revision(site: WorldSite, visit: Visit, title: str, number: str) -> Response:
    article = _find(site, title)
    revision = _revision(article, number)
    site.note_seen(f"wiki {article.title}")
    content = [
        _tabs(article),
        h1(f"{article.title}, revision {revision.number}"),
        p(f"By {revision.author} on {minute(revision.time)}: {revision.summary}", class_="dim"),
        pre(revision.text),
    ]
    return site.page(visit, f"{article.title}, revision {revision.number}", content)


def _editor(site: WorldSite, visit: Visit, article: Article) -> Person:
    """Raises: Problem, LoginNeeded."""
    person = visit.need_login()
    if article.protected and MODERATOR not in person.roles:
        site.note_seen(f"wiki protection of {article.title}")
        raise Problem(403, "This article is protected: only moderators can change it.")
    return person


@router.get("/wiki/<title>/edit")
def show_editor(site: WorldSite, visit: Visit, title: str) -> Response:
    article = _find(site, title)
    _editor(site, visit, article)
    site.note_seen(f"wiki {article.title}")
    return _edit_page(site, visit, article, article.text, "")


def _edit_page(site: WorldSite, visit: Visit, article: Article, text: str, wrong: str, status: int = 400) -> Response:
    form = post(
        f"{article_path(article.title)}/edit",
        hidden("base", len(article.revisions)),
        area("Text of the article", "text", text, 18),
        field("Summary of your change", "summary", visit.form.get("summary", "")),
        submit("Save"),
    )
    content = [_tabs(article), h1(f"Edit {article.title}"), problem(wrong), form]
    return site.page(visit, f"Edit {article.title}", content, status if wrong else 200)


@router.post("/wiki/<title>/edit")
def save(site: WorldSite, visit: Visit, title: str) -> Response:
    article = _find(site, title)
    person = _editor(site, visit, article)
    text, summary, base = visit.whole_form("text", "summary", "base")
    if not text or not summary:
        return _edit_page(site, visit, article, text, "Write a text and a summary.")
    if len(text) > MAX_TEXT or len(summary) > MAX_SUMMARY:
        return _edit_page(site, visit, article, text, "That is too long.")
    if base != str(len(article.revisions)):
        return _edit_page(site, visit, article, text, "Somebody else has changed the article meanwhile.", 409)
    if text != article.text:
        article.add(person.name, site.world.clock.next(), summary, text)
    return Response.redirect(article_path(article.title) + "?done=saved")


@router.post("/wiki/<title>/restore")
def restore(site: WorldSite, visit: Visit, title: str) -> Response:
    article = _find(site, title)
    person = _editor(site, visit, article)
    (number,) = visit.whole_form("revision")
    revision = _revision(article, number)
    article.add(person.name, site.world.clock.next(), f"restored revision {number}", revision.text)
    return Response.redirect(article_path(article.title) + "?done=undone")


add_login(router)
