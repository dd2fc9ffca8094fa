"""What the gym image is made of is pinned, and is what its tasks say."""

from __future__ import annotations

import re
from importlib.metadata import version

from environments.gym.tasks import Gymnasium
from tests.conftest import ROOT


def _pins() -> dict[str, str]:
    text = (ROOT / "images/gym/requirements.txt").read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert len(entries) == 7
    for entry in entries:
        assert re.match(r"[a-z0-9\-]+==[\w.]+[ ;]", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    return dict(re.findall(r"^([a-z0-9\-]+)==([\w.]+)", text, re.MULTILINE))


def test_every_package_of_the_image_has_a_version_and_hashes() -> None:
    assert {"gymnasium", "numpy", "pygame-ce"} <= set(_pins())


def test_the_image_s_gymnasium_is_the_task_set_s_and_the_one_of_the_tests() -> None:
    assert _pins()["gymnasium"] == Gymnasium.version == version("gymnasium")
