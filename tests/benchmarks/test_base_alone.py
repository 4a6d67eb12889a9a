"""Our base layer by itself, as a rival."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.base_alone import measure_base, play
from benchmarks.cache import Cache
from benchmarks.clip import Clip
from benchmarks.measure import Measurer
from sender.profiles import BasePoint
from shared.models.engine import Picture
from shared.transport.link import Channel

BASE = BasePoint(128, 12.5, 63, 4.5)


@pytest.fixture(scope="module")
def short(person: list[Picture]) -> Clip:
    return Clip("person", 25.0, [i / 25 for i in range(23)], person[:23])


def test_a_key_then_bundles_of_five_frames(short: Clip) -> None:
    messages, shown = play(short, BASE, 5, 63)
    key = [m for m in messages if m.channel is Channel.PICTURES]
    bundles = [m for m in messages if m.channel is Channel.MOTION]
    assert {m.time for m in key} == {0.0}
    assert 200 < sum(m.size for m in key) < 2000
    assert [round(m.time * 25) for m in bundles] == [4, 9, 14, 19, 22]
    assert all(20 < m.size < 400 for m in bundles)
    assert len(shown) == 23
    assert {picture.shape for picture in shown} == {(256, 256, 3)}
    anew = [not np.array_equal(after, before) for before, after in pairwise(shown)]
    assert not any(anew[::2])  # every second frame is coded, and shown twice
    assert sum(anew[1::2]) > 5


def test_a_finer_quantiser_is_nearer_and_costs_more(short: Clip) -> None:
    measure = Measurer(short, Cache(None), vmaf=False)
    (coarse, _), (fine, shown) = (measure_base(measure, BASE, 5, crf) for crf in (70, 51))
    assert coarse.psnr + 1 < fine.psnr
    assert coarse.sharp < fine.sharp < 1
    assert coarse.wire_kbps < fine.wire_kbps
    assert coarse.kbps < coarse.wire_kbps
    assert 0.3 < coarse.wire_kbps_back < 5  # acknowledgements and consent checks
    assert measure_base(measure, BASE, 5, 51)[1].key == shown.key


def test_rate_and_size_are_those_asked_for(short: Clip) -> None:
    measure = Measurer(short, Cache(None), vmaf=False)
    usual, small = (measure_base(measure, base, 5, 63)[0] for base in (BASE, BASE._replace(size=64)))
    slow = measure_base(measure, BASE._replace(rate=6.25), 5, 63)[0]
    assert small.kbps < usual.kbps
    assert slow.kbps < usual.kbps
    assert slow.psnr != usual.psnr


def test_a_clip_that_changes_wholly_begins_anew(short: Clip) -> None:
    noise = np.random.default_rng(1)
    wild = [noise.integers(0, 256, (256, 256, 3), np.uint8) for _ in range(10)]
    clip = replace(short, stamps=short.stamps[:10], pictures=wild)
    messages, shown = play(clip, BASE, 5, 30)
    assert len({m.time for m in messages if m.channel is Channel.PICTURES}) > 1
    assert len(shown) == 10


def test_a_first_picture_that_no_key_holds_is_refused(short: Clip) -> None:
    wild = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    with pytest.raises(ValueError, match="the first picture of 'person' takes more than a key may at crf 2"):
        play(replace(short, stamps=[0.0, 0.04], pictures=[wild, wild]), BASE._replace(size=256), 5, 2)
