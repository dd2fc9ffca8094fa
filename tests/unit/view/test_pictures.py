"""A picture is shown where its bytes are what they are said to be, and small enough; nothing else is."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from envserver.view import pictures
from envserver.view.pictures import Claim, NoPictureError, claim_of, read
from tests.unit.view.records import png


def drawn(kind: str, size: tuple[int, int] = (37, 21), **options: Any) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, (9, 99, 199)).save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("png", drawn("png")),
        ("jpeg", drawn("jpeg")),
        ("jpg", drawn("jpeg", progressive=True, comment=b"x" * 3000)),
        ("webp", drawn("webp")),
        ("webp", drawn("webp", lossless=True)),
        ("webp", drawn("webp", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")),
    ],
)
def test_its_size_is_read_of_its_bytes(name: str, data: str) -> None:
    picture = read(Claim(name, data))
    assert (picture.width, picture.height) == (37, 21)
    assert picture.format == {"jpg": "jpeg"}.get(name, name)
    assert (picture.data, picture.size_bytes) == (data, len(base64.b64decode(data)))


SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>").decode()
HTML = base64.b64encode(b"<script>alert(1)</script>").decode()


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("svg+xml", SVG, "of a format that is not shown"),
        ("png", SVG, "that is no png"),
        ("png", HTML, "that is no png"),
        ("png", drawn("jpeg"), "that is no png"),
        ("jpeg", drawn("png"), "that is no jpeg"),
        ("webp", drawn("png"), "that is no webp"),
        ("gif", drawn("gif"), "of a format that is not shown"),
        ("png", "", "that is no png"),
        ("png", png()[:20], "that is no png"),
        ("png", base64.b64encode(bytes(8) + base64.b64decode(png())[8:]).decode(), "that is no png"),
        ("png", png() + '"><script>alert(1)</script>', "that is no base64"),
        ("png", png()[:-4] + "\n" + png()[-4:], "that is no base64"),
        ("png", " " + png(), "that is no base64"),
        ("png", png() + "é", "that is no base64"),
        ("png", png().replace("A", "-", 1), "that is no base64"),
        ("png", png(100_000, 100_000), "of 100000 x 100000 pixels"),
        ("png", png(0, 5), "of 0 x 5 pixels"),
        ("jpeg", base64.b64encode(b"\xff\xd8\xff\xe0\0\0" * 50).decode(), "that is no jpeg"),
        ("jpeg", base64.b64encode(b"\xff\xd8\xff").decode(), "that is no jpeg"),
        ("webp", base64.b64encode(b"RIFF\0\0\0\0WEBPVP8?" + bytes(40)).decode(), "that is no webp"),
    ],
)
def test_what_is_no_picture_is_refused(name: str, data: str, why: str) -> None:
    with pytest.raises(NoPictureError, match=why):
        read(Claim(name, data))


def test_it_may_not_be_larger_than_a_picture_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 300)
    assert read(Claim("png", png())).size_bytes < 300
    with pytest.raises(NoPictureError, match="of more than"):
        read(Claim("png", png(padding=bytes(300))))


@pytest.mark.parametrize(
    ("value", "claim"),
    [
        ({"format": "png", "data": "aa"}, Claim("png", "aa")),
        ({"type": "base64", "media_type": "image/webp", "data": "aa"}, Claim("webp", "aa")),
        ("data:image/png;base64,aa", Claim("png", "aa")),
        ("data:image/svg+xml;base64,aa", Claim("svg+xml", "aa")),
        ("data:text/html;base64,aa", None),
        ("see data:image/png;base64,aa", None),
        ({"format": "png", "data": "aa", "shape": [1]}, None),
        ({"format": 3, "data": "aa"}, None),
        ({"media_type": "text/html", "data": "aa"}, None),
        ({"format": "png", "data": b"aa"}, None),
        ({"data": "aa"}, None),
        ([], None),
    ],
)
def test_what_is_said_to_be_one(value: Any, claim: Claim | None) -> None:
    assert claim_of(value) == claim
