"""Uid ranges: no two live sandboxes share one, and a checkpoint's saved map can name any of them."""

from __future__ import annotations

import contextlib
import itertools
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envserver.launcher import criu_images, idmap


def test_ranges_do_not_overlap_and_stay_clear_of_the_host_s_users() -> None:
    starts = [idmap.range_start(index) for index in range(idmap.RANGE_COUNT)]
    assert all(later - earlier == idmap.RANGE_SIZE for earlier, later in itertools.pairwise(starts))
    assert starts[0] > idmap.DISK_ID + idmap.RANGE_SIZE
    assert starts[-1] + idmap.RANGE_SIZE <= 1 << 28


@given(st.lists(st.booleans(), max_size=300))
def test_no_range_is_out_twice(script: list[bool]) -> None:
    pool, out = idmap.RangePool(), []
    for take in script:
        if take:
            index = pool.take()
            assert index not in out
            out.append(index)
        elif out:
            pool.give_back(out.pop(0))


def test_all_can_be_taken_and_then_none() -> None:
    pool = idmap.RangePool()
    taken = {pool.take() for _ in range(idmap.RANGE_COUNT)}
    assert taken == set(range(idmap.RANGE_COUNT))
    with pytest.raises(idmap.RangesExhaustedError, match="2048 uid ranges"):
        pool.take()
    pool.give_back(7)
    assert pool.take() == 7, "the last one is given out although it has not rested"


def test_an_adopted_range_is_not_given_out() -> None:
    pool = idmap.RangePool()
    pool.take_exactly(1)
    taken = {pool.take() for _ in range(idmap.RANGE_COUNT - 1)}
    assert 1 not in taken


def test_a_freed_range_rests_before_it_is_used_again() -> None:
    pool = idmap.RangePool()
    first = pool.take()
    pool.give_back(first)
    assert first not in {pool.take() for _ in range(20)}


def test_many_threads_share_no_range() -> None:
    pool, out, clashes = idmap.RangePool(), set[int](), []

    def churn(_: int) -> None:
        for _ in range(200):
            index = pool.take()
            if index in out:
                clashes.append(index)
            out.add(index)
            out.discard(index)
            pool.give_back(index)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(churn, range(8)))
    assert clashes == []


# --- CRIU's record of the map ---------------------------------------------------------------------

CRIU_WROTE = bytes.fromhex("19435654 06494755 1a000000 0a0b 0800 1080808001 18808004 120b 0800 1080808001 18808004")
"""`userns-*.img` as CRIU 4.1 writes it for the first range (host ids from 2**21): magics, size, and two extents."""


def _extents(image: bytes) -> list[dict[int, int]]:
    """A reader of its own: protobuf with varints in messages, one level deep."""
    magics, size = struct.unpack_from("<QI", image)
    assert magics == 0x55474906_54564319
    entry = image[12:]
    assert len(entry) == size
    found = []
    while entry:
        length = entry[1]
        body, entry = entry[2 : 2 + length], entry[2 + length :]
        fields: dict[int, int] = {}
        while body:
            tag, body = body[0], body[1:]
            value = shift = 0
            with contextlib.suppress(StopIteration):
                while True:
                    byte, body = body[0], body[1:]
                    value |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
            fields[tag >> 3] = value
        found.append(fields)
    return found


def test_the_map_of_the_first_range_is_byte_for_byte_what_criu_wrote() -> None:
    assert criu_images.userns(idmap.range_start(0)) == CRIU_WROTE


@given(st.integers(min_value=0, max_value=idmap.RANGE_COUNT - 1))
def test_every_range_can_be_named_without_moving_a_byte(index: int) -> None:
    image = criu_images.userns(idmap.range_start(index))
    assert len(image) == len(CRIU_WROTE)
    expected = {1: 0, 2: idmap.range_start(index), 3: idmap.RANGE_SIZE}
    assert _extents(image) == [expected, expected]
