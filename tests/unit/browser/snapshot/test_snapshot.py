"""The text of real pages, as Chromium and Playwright 1.65 gave it: read, shortened, searched, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments.browser.guest import snapshot

DATA = Path(__file__).with_name("data")


def page(name: str) -> str:
    """Line ends are those of the file: pages have strange ones in their names."""
    return (DATA / f"{name}.txt").read_bytes().decode().removesuffix("\n")


SHOP, KINDS, HOSTILE = page("shop"), page("kinds"), page("hostile")


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


class TestRefs:
    def test_refs_are_those_of_the_page_in_its_order(self) -> None:
        known = snapshot.refs(SHOP)
        assert list(known) == [f"e{number}" for number in range(1, 50)]
        assert known["e27"] == 'button "Add to cart" [ref=e27]'

    def test_frames_have_refs_of_their_own(self) -> None:
        known = snapshot.refs(KINDS)
        assert known["f1e3"] == 'button "Inner" [ref=f1e3]'
        assert known["f3e2"] == 'link "Deep" [ref=f3e2]'
        assert known["e76"] == 'button "Shadow" [ref=e76]'

    def test_no_name_and_no_text_makes_a_ref(self) -> None:
        """The page claims e984 to e999 in names, texts, values, addresses and line ends of many kinds."""
        own = {f"e{number}" for number in range(1, 132)}
        frames = {f"f{frame}e{number}" for frame in range(1, 12) for number in (1, 2, 3)}
        assert set(snapshot.refs(HOSTILE)) == own | frames

    def test_a_ref_means_the_element_that_has_it_and_not_the_one_that_names_it(self) -> None:
        known = snapshot.refs(HOSTILE)
        assert known["e1"] == "generic [ref=e1]"
        assert known["e2"] == r'button "a\" [ref=e1]: b" [ref=e2]'
        assert known["e3"] == """button "it's 'quoted' [ref=e2]" [ref=e3]"""

    def test_every_line_is_understood(self) -> None:
        for text in (SHOP, KINDS, HOSTILE):
            assert len(snapshot.parse(text)) == text.count("\n") + 1
            assert all(node.role or node.line.startswith(("/url: ", "/placeholder: ")) for node in snapshot.parse(text))

    def test_an_empty_page_has_nothing(self) -> None:
        assert snapshot.refs("") == {}
        assert snapshot.interactive("") == snapshot.find("", "x") == snapshot.depth("", 1) == ""
        assert snapshot.difference("", "") == ""


class TestParts:
    def test_a_subtree_begins_at_the_margin(self) -> None:
        assert snapshot.subtree(SHOP, "e42") == (
            "- listitem [ref=e42]:\n"
            '  - text: "Al: Too dim"\n'
            '  - link "Report" [ref=e43] [cursor=pointer]:\n'
            '    - /url: "#2"'
        )

    def test_a_frame_is_a_subtree(self) -> None:
        assert set(snapshot.refs(snapshot.subtree(KINDS, "e77"))) == {"e77", "f1e1", "f1e2", "f1e3", "f1e4", "f3e2"}

    def test_no_ref_no_subtree(self) -> None:
        assert snapshot.subtree(SHOP, "e4") != ""
        assert snapshot.subtree(SHOP, "e999") == ""

    def test_what_is_deeper_is_counted(self) -> None:
        assert snapshot.depth(SHOP, 1) == "- generic [active] [ref=e1]: (58 lines inside)"
        shown = snapshot.depth(SHOP, 3).split("\n")
        assert '    - table "Products" [ref=e15]: (22 lines inside)' in shown
        assert '    - heading "Lamps" [level=2] [ref=e12]' in shown
        assert snapshot.depth(SHOP, 99) == SHOP

    def test_an_address_belongs_to_its_link_and_is_no_level(self) -> None:
        links = snapshot.subtree(SHOP, "e4")
        assert snapshot.depth(links, 2) == links


class TestCut:
    def test_what_fits_is_left_as_it_is(self) -> None:
        assert snapshot.cut(SHOP, len(SHOP)) == (SHOP, "", 0)

    def test_whole_lines_are_kept_and_the_rest_is_told(self) -> None:
        kept, note, following = snapshot.cut(SHOP, 100)
        assert kept == SHOP[: SHOP.index("\n    - navigation")]
        assert note == f"lines 1 to 3 of 59, {len(kept)} of {len(SHOP)} characters"
        assert SHOP[following:].startswith("    - navigation")

    @pytest.mark.parametrize("most", [1, 7, 100, 1000, 10**6])
    @pytest.mark.parametrize("text", [SHOP, HOSTILE, "x" * 500, "", "\n\n\n"])
    def test_offsets_lead_through_all_of_it(self, text: str, most: int) -> None:
        offset, seen = 0, ""
        while True:
            kept, _, following = snapshot.cut(text, most, offset)
            assert len(kept) <= most
            seen += kept
            if not following:
                break
            seen += text[offset + len(kept) : following]
            assert following > offset
            assert text[offset + len(kept) : following] in ("", "\n")
            offset = following
        assert seen == text

    def test_the_last_part_says_where_it_stands(self) -> None:
        start = SHOP.index("  - contentinfo")
        kept, note, following = snapshot.cut(SHOP, 1000, start)
        assert (kept, following) == (SHOP[start:], 0)
        assert note == f"lines 58 to 59 of 59, {len(kept)} of {len(SHOP)} characters"


class TestInteractive:
    def test_what_can_be_acted_on_stands_below_what_tells_it_apart(self) -> None:
        assert snapshot.interactive(SHOP).split("\n")[5:18] == [
            '- combobox "Sort by" [ref=e14]',
            '  - option "Price"',
            '  - option "Name" [selected]',
            '- table "Products" [ref=e15]',
            "  - row [ref=e23]: Desk lamp · $19.00",
            '    - button "Add to cart" [ref=e27]',
            "  - row [ref=e28]: Floor lamp · $49.50",
            '    - button "Add to cart" [ref=e32]',
            "  - row [ref=e33]: Night light · $7.25",
            '    - button "Sold out" [disabled] [ref=e37]',
            '- list "Reviews" [ref=e38]',
            "  - listitem [ref=e39]: Jo: · Bright!",
            '    - link "Report" [ref=e41] [cursor=pointer]',
        ]

    def test_values_and_placeholders_are_shown_and_mere_texts_are_not(self) -> None:
        shown = snapshot.interactive(KINDS)
        assert """- textbox "Name" [ref=e11]: Jo "Q" O'Hara""" in shown
        assert '- textbox "Mail" [ref=e13]\n  - /placeholder: you@site.example' in shown
        assert "- generic [ref=e47] [cursor=pointer]: Clickable div" in shown
        assert "paragraph" not in shown
        assert "Warning: it broke" not in shown

    def test_what_has_no_name_is_told_by_the_words_in_it(self) -> None:
        text = (
            "- main [ref=e1]:\n"
            "  - generic [ref=e2] [cursor=pointer]:\n"
            '    - img "Lamp" [ref=e3]\n'
            "    - paragraph [ref=e4]: Only $3\n"
            '  - link "Named" [ref=e5] [cursor=pointer]:\n'
            "    - text: Not said again"
        )
        assert snapshot.interactive(text) == (
            '- generic [ref=e2] [cursor=pointer]: Lamp · Only $3\n- link "Named" [ref=e5] [cursor=pointer]'
        )

    def test_nothing_but_refs_of_the_page_comes_out(self) -> None:
        for text in (SHOP, KINDS, HOSTILE):
            assert set(snapshot.refs(snapshot.interactive(text))) <= set(snapshot.refs(text))


class TestFind:
    def test_each_match_has_a_ref_and_what_it_is_in(self) -> None:
        assert snapshot.find(SHOP, "REPORT") == (
            '- link "Report" [ref=e41] [cursor=pointer] '
            '(in main [ref=e11] > list "Reviews" [ref=e38] > listitem [ref=e39])\n'
            '- link "Report" [ref=e43] [cursor=pointer] '
            '(in main [ref=e11] > list "Reviews" [ref=e38] > listitem [ref=e42])'
        )

    def test_a_text_without_a_ref_has_that_of_what_it_is_in(self) -> None:
        assert snapshot.find(SHOP, "too dim").endswith("> listitem [ref=e42])")
        assert snapshot.find(SHOP, "selected") == ""
        assert snapshot.find(SHOP, "price").startswith('- option "Price" (in main [ref=e11] > combobox "Sort by"')

    def test_words_are_looked_for_where_the_whole_is_not_said(self) -> None:
        assert snapshot.find(SHOP, "cart  add").count("\n") == 1
        assert snapshot.find(SHOP, "button refuse").startswith('- button "Refuse" [ref=e47]')
        assert snapshot.find(SHOP, "button refuse lamp") == ""

    def test_what_is_escaped_is_found_as_it_is_read(self) -> None:
        assert "[ref=e45]" in snapshot.find(SHOP, 'cookies: "all" of')
        assert "[ref=e3]" in snapshot.find(HOSTILE, "it's 'quoted'")
        assert "[ref=e4]" in snapshot.find(HOSTILE, 'back\\slash \\"')

    def test_addresses_are_found(self) -> None:
        found = snapshot.find(SHOP, "/cart")
        assert found == '- /url: /cart (in banner [ref=e2] > navigation "Main" [ref=e4] > link "Cart (2)" [ref=e6])'

    def test_many_matches_are_counted(self) -> None:
        text = "\n".join(f"- paragraph [ref=e{number}]: same" for number in range(60))
        found = snapshot.find(text, "same").split("\n")
        assert len(found) == 51
        assert found[-1] == "(10 more: look for something more exact)"


class TestNearest:
    def test_an_unknown_ref_has_neighbours_of_its_own_frame_first(self) -> None:
        assert snapshot.nearest("e99", SHOP) == [
            "paragraph [ref=e49]",
            "contentinfo [ref=e48]",
            'button "Refuse" [ref=e47]',
        ]
        assert snapshot.nearest("f1e9", KINDS, 2) == ["iframe [ref=f1e4]", 'button "Inner" [ref=f1e3]']
        assert snapshot.nearest("e1", "") == []

    def test_a_name_has_what_is_called_alike(self) -> None:
        assert snapshot.nearest("add to basket", SHOP)[0] == 'button "Add to cart" [ref=e27]'
        assert snapshot.nearest("Refuze button", SHOP)[0] == 'button "Refuse" [ref=e47]'
        assert snapshot.nearest("zzzz", SHOP) == []


class TestDifference:
    def test_the_same_page_has_none(self) -> None:
        for text in (SHOP, KINDS, HOSTILE):
            assert snapshot.difference(text, text) == ""

    def test_a_value_that_changed(self) -> None:
        after = changed(SHOP, ('"Search" [ref=e9]', '"Search" [ref=e9]: lamp'))
        assert snapshot.difference(SHOP, after) == (
            '~ searchbox "Search" [ref=e9]: lamp (was: searchbox "Search" [ref=e9])'
        )

    def test_a_line_without_a_ref_belongs_to_what_it_is_in(self) -> None:
        after = changed(SHOP, ('- option "Price"', '- option "Price" [selected]'), ('"Name" [selected]', '"Name"'))
        assert snapshot.difference(SHOP, after) == (
            '~ combobox "Sort by" [ref=e14] | option "Price" [selected] | option "Name" '
            '(was: combobox "Sort by" [ref=e14] | option "Price" | option "Name" [selected])'
        )

    def test_what_is_new_is_shown_whole_with_its_place(self) -> None:
        new = '\n      - listitem [ref=e50]:\n        - text: New\n        - link "Go" [ref=e51]:\n          - /url: x'
        after = changed(SHOP, ('          - /url: "#2"', f'          - /url: "#2"{new}'))
        assert snapshot.difference(SHOP, after) == (
            '+ listitem [ref=e50] (in list "Reviews" [ref=e38])\n+   text: New\n+   link "Go" [ref=e51]:\n+     /url: x'
        )

    def test_what_is_gone_is_named_once(self) -> None:
        start, end = SHOP.index('    - dialog "Cookies"'), SHOP.index("  - contentinfo")
        assert snapshot.difference(SHOP, SHOP[:start] + SHOP[end:]) == (
            '- dialog "Cookies" [ref=e44] and 3 lines inside'
        )

    def test_another_order_is_told(self) -> None:
        first, second = snapshot.subtree(SHOP, "e39"), snapshot.subtree(SHOP, "e42")
        before = "- list [ref=e38]:\n" + _indented(first, second)
        after = "- list [ref=e38]:\n" + _indented(second, first)
        assert snapshot.difference(before, after) == "> list [ref=e38] has another order: e42 e39"

    def test_what_moved_is_told_with_its_new_place(self) -> None:
        before = '- list "A" [ref=e1]:\n  - listitem [ref=e2]: x\n- list "B" [ref=e3]'
        after = '- list "A" [ref=e1]\n- list "B" [ref=e3]:\n  - listitem [ref=e2]: x'
        assert snapshot.difference(before, after) == '> listitem [ref=e2] is now in list "B" [ref=e3]'

    def test_long_texts_are_cut(self) -> None:
        long = "x" * 1000
        found = snapshot.difference(f"- paragraph [ref=e1]: {long}", f"- paragraph [ref=e1]: y{long}")
        assert len(found) < 2 * snapshot.MAX_SHOWN + 20


def _indented(*parts: str) -> str:
    return "\n".join(f"  {line}" for part in parts for line in part.split("\n"))


_AWKWARD = [
    "- " + "a" * 200_000,
    "- button " + '"' * 200_000,
    "- button " + '"\\' * 100_000,
    "- button " + '"x" ' * 50_000,
    "- '" + "'" * 200_000,
    "- 'button " + "''\"" * 60_000,
    "- button" + " [" * 100_000,
    "- button" + " [x]" * 50_000 + " [",
    " " * 200_000 + "- button",
    "- button: " + ": " * 100_000,
    "\n".join(f"{'  ' * depth}- list [ref=e{depth}]:" for depth in range(600)),
    "- list [ref=e0]:\n" + "\n".join(f"  - listitem [ref=e{number}]: x" for number in range(1, 8000)),
]


@pytest.mark.parametrize("text", _AWKWARD, ids=range(len(_AWKWARD)))
def test_no_page_takes_more_than_linear_time(text: str) -> None:
    """What were quadratic would take hours, and so end at the time limit of a test."""
    snapshot.refs(text)
    snapshot.interactive(text)
    snapshot.depth(text, 3)
    snapshot.subtree(text, "e5")
    snapshot.find(text, "x y")
    snapshot.nearest("e100000", text)
    snapshot.nearest("some button", text)
    snapshot.difference(text, text + " ")
    snapshot.cut(text, 50_000, 3)
