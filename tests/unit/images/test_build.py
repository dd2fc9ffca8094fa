"""Building images: what is built and what is skipped, and what is said where the host lacks something."""

from __future__ import annotations

import io
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envserver.images import build
from envserver.images.build import IMAGES, Builder, BuildError, Image, image_id

ROOT = Path(__file__).resolve().parents[3]
IMAGE = Image("base", {"": "context", "extra.txt": "elsewhere.txt"})

DOCKER = f"""#!{sys.executable}
import fcntl, json, pathlib, sys, time
lock = pathlib.Path(__file__).with_name("lock").open("w")
state = pathlib.Path(__file__).with_name("state.json")
images = json.loads(state.read_text()) if state.exists() else {{}}
arguments = sys.argv[1:]
if arguments[:2] == ["image", "inspect"]:
    tag = arguments[-1]
    if tag not in images:
        sys.exit("Error: No such image")
    print(images[tag])
elif arguments[0] == "build":
    sys.stdin.buffer.read()
    here = pathlib.Path(__file__).parent
    (here / arguments[arguments.index("--tag") + 1].replace("/", "_")).touch()
    waits_for = here / "waits_for"  # one that has to have begun before this one ends
    for _ in range(500):
        if not waits_for.exists() or (here / waits_for.read_text()).exists():
            break
        time.sleep(0.01)
    else:
        sys.exit("nothing else began")
    tag, label = arguments[arguments.index("--tag") + 1], arguments[arguments.index("--label") + 1]
    print("Step 1/1 : FROM x")
    if (pathlib.Path(__file__).with_name("fail")).exists():
        print("the compiler is unwell")
        sys.exit(1)
    fcntl.flock(lock, fcntl.LOCK_EX)
    images = json.loads(state.read_text()) if state.exists() else {{}}
    images[tag] = label.partition("=")[2]
    state.write_text(json.dumps(images))
elif arguments[0] == "pull":
    sys.exit("no route to a registry")
elif arguments[0] == "version":
    print("20.10")
else:
    sys.exit(f"unknown {{arguments}}")
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "context/sub").mkdir(parents=True)
    (tmp_path / "context/Dockerfile").write_text("FROM scratch")
    (tmp_path / "context/sub/a.txt").write_text("a")
    (tmp_path / "elsewhere.txt").write_text("e")
    return tmp_path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PATH of one directory, to which a test adds what its host has."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("BASE", raising=False)
    yield directory


def add_program(directory: Path, name: str, text: str) -> Path:
    file = directory / name
    file.write_text(text)
    file.chmod(0o755)
    return file


def inputs(root: Path, image: Image = IMAGE, **parents: str) -> str:
    return Builder(root, lambda _: None)._inputs(image, parents)


# --- what an image is made from -------------------------------------------------------------------


def test_the_same_files_give_the_same_digest_wherever_and_whenever(root: Path) -> None:
    before = inputs(root)
    for file in root.rglob("*"):
        file.touch()
    assert inputs(root) == before


def test_any_change_of_a_file_changes_the_digest(root: Path) -> None:
    seen = {inputs(root)}

    def changed() -> None:
        digest = inputs(root)
        assert digest not in seen
        seen.add(digest)

    (root / "context/sub/a.txt").write_text("b")
    changed()
    (root / "context/sub/a.txt").rename(root / "context/sub/b.txt")
    changed()
    (root / "context/sub/b.txt").chmod(0o755)
    changed()
    (root / "context/new").write_text("")
    changed()
    (root / "elsewhere.txt").write_text("other")
    changed()
    (root / "context/Dockerfile").write_text("FROM base")
    changed()


@pytest.mark.parametrize(
    "name", ["__pycache__/a.pyc", "target/x", "Cargo.lock", "x.egg-info/PKG-INFO", ".mypy_cache/a", "sub/target/y"]
)
def test_what_builds_leave_behind_changes_nothing(root: Path, name: str) -> None:
    before = inputs(root)
    (root / "context" / name).parent.mkdir(parents=True, exist_ok=True)
    (root / "context" / name).write_text("left")
    assert inputs(root) == before


def test_a_parent_s_digest_is_part_of_its_children_s(root: Path) -> None:
    child = Image("child", {"": "context"}, {"BASE": "parent"})
    assert inputs(root, child, parent="1") != inputs(root, child, parent="2")


def test_the_context_holds_the_files_under_their_names_and_no_owner_or_time(root: Path) -> None:
    content = Builder(root, lambda _: None)._context(IMAGE)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = {member.name: member for member in tar}
    assert {"Dockerfile", "sub/a.txt", "extra.txt"} <= set(members)
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_every_image_has_a_dockerfile_and_stands_on_what_is_built_before_it(image: Image) -> None:
    names = {name for name, _ in Builder(ROOT, lambda _: None)._files(image)}
    assert "Dockerfile" in names
    before = [each.name for each in IMAGES[: IMAGES.index(image)]]
    assert set(image.parents.values()) <= set(before)


def test_naming_one_image_builds_what_it_stands_on() -> None:
    assert Builder._with_parents(("node",)) == {"node", "base", "agent"}


# --- building -------------------------------------------------------------------------------------


@pytest.fixture
def engine(programs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Docker client that remembers what it has been told to build."""
    monkeypatch.setattr(build, "IMAGES", (IMAGE, Image("child", {"": "context"}, {"BASE": "base"})))
    monkeypatch.setenv("BASE", "debian:trixie-slim")
    return add_program(programs, "docker", DOCKER)


def built(root: Path, *names: str) -> list[str]:
    said: list[str] = []
    Builder(root, said.append).build(names or ("child",))
    return [line.partition(":")[0] for line in said if "built in" in line]


def test_only_what_changed_and_what_stands_on_it_is_built_again(root: Path, engine: Path) -> None:
    assert built(root) == ["base", "child"]
    assert built(root) == []
    (root / "elsewhere.txt").write_text("changed")  # of the base alone
    assert built(root) == ["base", "child"]
    assert engine.with_name("state.json").exists()


def test_two_that_do_not_need_each_other_are_built_at_once(
    root: Path, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins = [Image(name, {"": "context"}, {"BASE": "base"}) for name in ("left", "right")]
    grandchild = Image("grandchild", {"": "context"}, {"BASE": "left", "OTHER": "right"})
    monkeypatch.setattr(build, "IMAGES", (IMAGE, *twins, grandchild))
    assert built(root, "base") == ["base"]
    engine.with_name("waits_for").write_text("envserver_right:latest")
    done = built(root, "grandchild")
    assert sorted(done[:2]) == ["left", "right"]
    assert done[2:] == ["grandchild"]


def test_what_stands_on_a_failed_build_is_not_begun(root: Path, engine: Path) -> None:
    engine.with_name("fail").touch()
    with pytest.raises(BuildError):
        built(root)
    assert engine.with_name("envserver_base:latest").exists()
    assert not engine.with_name("envserver_child:latest").exists()


def test_a_failed_build_shows_the_end_of_its_log(root: Path, engine: Path) -> None:
    engine.with_name("fail").touch()
    with pytest.raises(BuildError, match=r"(?s)base could not be built.*the compiler is unwell"):
        built(root)


def test_an_unknown_image_is_answered_with_the_known_ones(root: Path, engine: Path) -> None:
    assert engine.exists()
    with pytest.raises(BuildError, match="no image 'nod'; there are base, child"):
        built(root, "nod")


def test_an_image_that_is_not_there_has_no_id(engine: Path) -> None:
    assert engine.exists()
    assert image_id("envserver/none:latest") is None


# --- what the host lacks --------------------------------------------------------------------------


@pytest.mark.usefixtures("programs")
def test_a_host_without_docker_is_told_how_to_get_it(root: Path) -> None:
    with pytest.raises(BuildError, match=r"no `docker` command: install Docker Engine .*apt-get install docker\.io"):
        built(root)


@pytest.mark.parametrize("message", ["Cannot connect to the Docker daemon", "permission denied while trying"])
def test_a_daemon_out_of_reach_is_explained(root: Path, programs: Path, message: str) -> None:
    add_program(programs, "docker", f'#!/bin/sh\necho "{message}" >&2\nexit 1\n')
    with pytest.raises(BuildError, match="Start the Docker daemon"):
        built(root)


def test_a_host_without_registry_and_mmdebstrap_is_told_what_to_do(
    root: Path, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.exists()
    monkeypatch.delenv("BASE")
    with pytest.raises(BuildError, match="run `apt-get install mmdebstrap`, or set BASE"):
        built(root)


def test_a_base_that_the_user_names_is_taken(root: Path, engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASE", "registry.example/debian:trixie")
    assert Builder(root, lambda _: None)._base() == "registry.example/debian:trixie"
    assert stat.S_IMODE(engine.stat().st_mode) == 0o755
