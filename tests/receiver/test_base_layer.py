"""The base layer in the receiver's half: lossless, late, lost, hostile. Numbers of frames count from 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from based_call import CRF, PER_BUNDLE, STEP, Filming, Watching, note, source, taking_half, yaw

from receiver.base_track import OLDEST, REQUEST_EVERY
from receiver.output.byte_log import CallRecording
from receiver.replay import pictures
from shared.call.call_file import Resumed, read_call
from shared.call.loop import TooManyErrors
from shared.codec import av1, control
from shared.codec.base_key import PIECES_ID
from shared.codec.pieces import split
from shared.models.engine import Picture
from shared.signalling.hello import Hello
from shared.transport.link import Channel
from shared.transport.resuming import Change

pytestmark = pytest.mark.skipif(not av1.available(), reason="this PyAV has no SVT-AV1 or dav1d")

BUNDLE = PER_BUNDLE * STEP


def begun(repeat: bool = False, watching: Watching | None = None, step: int = 1) -> tuple[Filming, Watching]:
    """A call whose source is held, and the key of its first frame."""
    watching = watching or Watching(taking_half())
    filming = Filming(watching.now, repeat, step)
    watching.take(source(1))
    watching.take(filming.begin())
    return filming, watching


def go_on(filming: Filming, watching: Watching, bundles: int, lost: frozenset[int] = frozenset()) -> None:
    """Bundles come as they are made, but for those that are lost."""
    filming.wait(watching.now)
    for number in range(bundles):
        made = filming.bundle()
        watching.until(filming.now)
        if number not in lost:
            watching.take(made)


def test_of_a_lossless_call_every_frame_from_the_key_on_has_a_base_and_its_motion() -> None:
    filming, watching = begun()
    go_on(filming, watching, 10)
    watching.until(watching.now + 1)
    assert list(watching.drawn) == list(range(50))
    for frame, base in watching.drawn.items():
        assert base is not None and base.crf == CRF
        assert base.age == pytest.approx(STEP * (frame % 2), abs=1e-3)
        assert base.motion.rotation[0] == yaw(frame - frame % 2)
        if frame % 10 in (1, 3, 5, 7):  # the next one came in the same bundle
            assert base.after is not None and base.after.ahead == pytest.approx(STEP, abs=1e-3)
            assert base.after.motion.rotation[0] == yaw(frame + 1)
        assert frame % 2 or base.after is None
    assert watching.half.base is not None
    report = watching.half.base.report()
    assert (report["frames_with_base"], report["base_keys"], report["base_requests"]) == (50, 1, 0)
    assert report["base_age_ms"] == pytest.approx(500 * STEP, abs=1)
    assert report["base_bytes"] > 500
    assert watching.held == [control.BaseHeld(1)]
    assert watching.half.counts.malformed == 0


def test_motion_for_every_second_frame_has_its_bases_in_their_places() -> None:
    filming, watching = begun(step=2)
    go_on(filming, watching, 5)
    watching.until(watching.now + 1)
    assert set(watching.drawn) == set(range(49))
    ages = {frame: base.age for frame, base in watching.drawn.items() if base is not None}
    assert ages == {frame: pytest.approx(STEP * (frame % 2), abs=1e-3) for frame in range(49)}


def test_the_key_is_told_of_before_anything_else_waits() -> None:
    filming, watching = begun()
    assert watching.held == []  # what its frame means is not known before a bundle
    watching.take(filming.bundle(base=False))
    assert watching.held == [control.BaseHeld(1)]


def test_a_half_that_takes_no_base_draws_as_before_and_says_nothing() -> None:
    filming, watching = begun(watching=Watching(taking_half(base=False)))
    go_on(filming, watching, 5)
    watching.until(watching.now + 1)
    assert list(watching.drawn.values()) == [None] * 25
    assert watching.held == [] and watching.half.counts.malformed == 0


def test_a_sender_without_a_base_layer_never_hears_of_it() -> None:
    filming, watching = Filming(), Watching(taking_half())
    watching.take(source(1))
    go_on(filming, watching, 20)
    watching.half.link_changed(Change.RENEWED, watching.now)
    go_on(filming, watching, 5)
    assert watching.held == []
    assert watching.drawn and not any(watching.drawn.values())


@pytest.mark.parametrize("repeat", [True, False])
def test_a_lost_bundle_is_bridged_by_repetition_and_else_never_by_an_old_base(repeat: bool) -> None:
    filming, watching = begun(repeat)
    go_on(filming, watching, 20, frozenset({8, 13}))
    watching.until(watching.now + 1)
    assert watching.drawn
    ages = [base.age for base in watching.drawn.values() if base is not None]
    assert max(ages) <= OLDEST + 1e-3
    without = [frame for frame, base in watching.drawn.items() if base is None]
    if repeat:
        assert not without and max(ages) <= 3 * STEP + 1e-3
    else:
        assert without and min(without) > 40  # from half a second after the last base on
        assert control.BaseHeld(1, asks=True) in watching.held


def test_bundles_in_any_order_lose_no_base_even_if_their_motion_is_late() -> None:
    filming, watching = begun()
    go_on(filming, watching, 2)
    late, next_ = filming.bundle(), filming.bundle()
    watching.until(watching.now + 2 * BUNDLE)
    watching.take(next_)
    watching.until(watching.now + BUNDLE)
    watching.take(late)
    assert watching.half.playout.late > 0
    watching.drawn.clear()
    go_on(filming, watching, 5)
    watching.until(watching.now + 1)
    newest = list(watching.drawn.values())[1:]  # the first frame after the pause has an odd number
    assert len(newest) == 24 and all(base is not None and base.age <= STEP + 1e-3 for base in newest)
    assert watching.half.base is not None and watching.half.base.track.requests == 0


def test_after_a_stall_no_frame_shows_a_base_from_before_it() -> None:
    filming, watching = begun()
    go_on(filming, watching, 5)
    waiting = [filming.bundle() for _ in range(10)]  # two seconds that come all at once
    watching.until(watching.now + 10 * BUNDLE)
    for each in waiting:
        watching.take(each)
    go_on(filming, watching, 5)
    watching.until(watching.now + 4)  # and four in which nothing was sent
    filming.wait(watching.now)
    before = filming.frame
    go_on(filming, watching, 5)
    watching.until(watching.now + 1)
    ages = [base.age for base in watching.drawn.values() if base is not None]
    assert max(ages) <= OLDEST + 1e-3
    after = [base for frame, base in watching.drawn.items() if frame >= before]
    assert len(after) == 25 and all(base is not None and base.age <= STEP + 1e-3 for base in after)


@pytest.mark.parametrize("change", [Change.RENEWED, Change.REPLACED])
def test_after_a_resume_only_a_new_key_brings_a_base(change: Change) -> None:
    filming, watching = begun()
    go_on(filming, watching, 5)
    watching.half.link_changed(change, watching.now)
    watching.tick()
    assert watching.held == [control.BaseHeld(1), control.BaseHeld(None)]
    if change is Change.REPLACED:
        watching.take(source(1))
        filming.epoch = watching.half.gallery.epoch
    watching.drawn.clear()
    go_on(filming, watching, 3)
    watching.until(watching.now + 0.5)
    assert watching.drawn and not any(watching.drawn.values())
    watching.drawn.clear()
    watching.take(filming.begin())
    go_on(filming, watching, 3)
    watching.until(watching.now + 0.5)
    assert watching.held[-1] == control.BaseHeld(2)
    assert len(watching.drawn) == 15 and all(watching.drawn.values())


def test_crops_are_never_mixed_and_the_new_ones_key_is_there_beforehand() -> None:
    filming, watching = begun()
    go_on(filming, watching, 5)
    key = filming.begin(crop=1)
    watching.take(key)
    assert watching.held[-1] == control.BaseHeld(2)
    watching.take(filming.bundle())  # still drawn in the crop before, but the base is of the new one
    watching.until(watching.now + 0.6)
    for frame in range(25, 30):  # that of before
        base = watching.drawn[frame]
        assert base is not None and base.age == pytest.approx((frame - 24) * STEP, abs=1e-3)
    watching.drawn.clear()
    watching.take(source(2, crop=1))
    filming.epoch = watching.half.gallery.epoch
    go_on(filming, watching, 4)
    watching.until(watching.now + 0.5)
    assert len(watching.drawn) == 20
    for frame, base in list(watching.drawn.items())[1:]:  # an odd number is the first
        assert base is not None and base.motion.rotation[0] == yaw(frame - frame % 2)


def test_with_the_camera_off_nothing_of_the_base_is_shown() -> None:
    filming, watching = begun()
    go_on(filming, watching, 5)
    made = filming.bundle()
    watching.take(note(control.CAMERA_OFF))
    watching.drawn.clear()
    watching.take(made)  # captured before, and on its way
    watching.until(watching.now + 0.5)
    assert watching.drawn and not any(watching.drawn.values())
    watching.take(filming.bundle(faces=False))
    watching.drawn.clear()
    watching.until(watching.now + 0.5)
    assert not watching.drawn
    watching.take(note(control.FACE))
    go_on(filming, watching, 2)
    watching.until(watching.now + 0.5)
    assert len(watching.drawn) == 10 and all(list(watching.drawn.values())[1:])  # an odd number is the first


def test_frames_of_before_the_face_went_keep_their_base() -> None:
    filming, watching = begun()
    go_on(filming, watching, 5)
    made = filming.bundle()
    watching.take(note(control.NO_FACE))  # overtakes what waits for its time
    watching.drawn.clear()
    watching.take(made)
    watching.until(watching.now + 0.5)
    assert watching.drawn and all(watching.drawn.values())


def test_the_base_that_still_comes_without_a_face_is_shown_by_itself() -> None:
    filming, watching = begun()
    go_on(filming, watching, 5)
    watching.take(note(control.NO_FACE))
    watching.pictures.clear()
    faceless: set[int] = set()
    for _ in range(3):
        go_on(filming, watching, 1)
        faceless |= {*range(filming.frame, filming.frame + PER_BUNDLE)}
        watching.take(filming.bundle(faces=False))
    watching.until(watching.now + 0.5)
    bases = {each.frame: each.picture for each in watching.half.base.track._pictures}  # type: ignore[union-attr]
    alone = {number: shown for number, shown in watching.pictures if number in faceless}
    assert {*alone} == {number for number in faceless if number - number % 2 in faceless}, "a face is not shown so"
    assert all((shown == bases[number - number % 2]).all() for number, shown in alone.items())
    assert watching.half.counts.frames_without_face == 3 * PER_BUNDLE


def test_without_a_face_and_a_base_the_last_picture_is_held_and_nothing_of_before_comes_back() -> None:
    filming, watching = begun()
    go_on(filming, watching, 5)
    watching.until(watching.now + 0.5)
    watching.drawn.clear()
    watching.take(filming.bundle(faces=False, base=False))
    watching.until(watching.now + 0.3)
    assert not watching.drawn
    first = filming.frame
    watching.take(filming.bundle(base=False))
    watching.until(watching.now + 0.5)
    assert watching.drawn[first] is None and not any(watching.drawn.values())
    go_on(filming, watching, 2)
    watching.until(watching.now + 0.5)
    later = {number: base for number, base in watching.drawn.items() if number > first + PER_BUNDLE}
    assert len(later) > PER_BUNDLE and all(base for number, base in later.items() if number % 2 == 0)


def test_a_hole_that_stays_asks_for_a_key_and_not_too_often() -> None:
    filming, watching = begun()
    go_on(filming, watching, 30, frozenset({3}))
    asked = [each for each in watching.held if each.asks]
    assert 2 <= len(asked) <= 1 + 30 * BUNDLE / REQUEST_EVERY
    watching.take(filming.begin())
    count = len(watching.held)
    go_on(filming, watching, 20)
    assert [each for each in watching.held[count:] if each.asks] == []
    watching.until(watching.now + 0.5)
    assert watching.drawn[249] is not None


def test_a_flood_of_keys_is_refused_and_ends_the_call() -> None:
    filming, watching = begun()
    go_on(filming, watching, 1)
    counts = watching.half.counts
    keys = []
    for _ in range(100):
        filming.frame += 2
        keys += filming.begin()
    with pytest.raises(TooManyErrors, match="more keys of a base layer"):
        watching.take(keys)
    assert counts.malformed == counts.malformed_base == 51
    assert watching.half.base is not None and watching.half.base.track.keys <= 8
    watching.until(watching.now + 0.5)
    assert set(watching.drawn) == set(range(5))


def test_what_is_no_key_is_counted_and_the_picture_goes_on() -> None:
    filming, watching = begun()
    go_on(filming, watching, 2)
    watching.take([(Channel.PICTURES, piece) for piece in split(b"\xb1" + bytes(600), PIECES_ID)])
    assert (watching.half.counts.malformed, watching.half.counts.malformed_base) == (1, 1)
    go_on(filming, watching, 2)
    watching.until(watching.now + 0.5)
    assert len(watching.drawn) == 20 and all(watching.drawn.values())


def played(path: Path, recording: CallRecording) -> list[tuple[int, Picture]]:
    """A call in which bundles are lost, late and reordered, a crop changes and connections are renewed."""
    chance = np.random.default_rng(4)
    filming, watching = begun(repeat=True, watching=Watching(taking_half(recording), now=100.3))
    delayed: list[tuple[float, list[tuple[Channel, bytes]]]] = []
    for number in range(60):
        filming.wait(watching.now)
        delayed.append((watching.now + BUNDLE + float(chance.exponential(0.1)), filming.bundle()))
        watching.until(filming.now + float(chance.uniform(-0.01, 0.01)))
        for when, messages in [each for each in delayed if each[0] <= watching.now]:
            delayed.remove((when, messages))
            if chance.uniform() > 0.1:
                watching.take(messages)
        if number == 20:
            watching.take(filming.begin(crop=1))
            watching.take(source(2, crop=1))
            filming.epoch = watching.half.gallery.epoch
        if number == 30:
            watching.until(watching.now + 1.2345)
            watching.half.link_changed(Change.RENEWED, watching.now)
        if number == 33:
            watching.take(filming.begin(crop=1))
        if number == 45:
            watching.until(watching.now + 0.777)
            watching.half.link_changed(Change.REPLACED, watching.now)
            delayed.clear()
            filming = Filming(watching.now, repeat=True)
            watching.take(source(1))
            filming.epoch = watching.half.gallery.epoch
            watching.take(filming.begin())
        if number == 50:
            watching.take(note(control.CAMERA_OFF))
        if number == 51:
            watching.take(note(control.FACE))
    recording.close()
    assert path.exists()
    bases = list(watching.drawn.values())
    assert 0 < sum(base is None for base in bases) < len(bases) / 2
    return watching.pictures


def test_a_recorded_call_is_drawn_again_with_the_same_bases(tmp_path: Path) -> None:
    path = tmp_path / "call.pinhole"
    hello = Hello("compact", "0123456789abcdef", "sender", "camera", 25, 4, 64)
    shown = played(path, CallRecording(path, hello))
    resumed = [each for each in read_call(path)[1] if isinstance(each, Resumed)]
    assert [each.replaced for each in resumed] == [False, True]
    again = [(frame.number, drawn) for frame, drawn in pictures(taking_half(), read_call(path)[1])]
    assert [number for number, _ in again] == [number for number, _ in shown]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(again, shown, strict=True))
    assert len(shown) > 150
    without = [drawn for _, drawn in pictures(taking_half(base=False), read_call(path)[1])]
    assert sum(not np.array_equal(a, b) for a, (_, b) in zip(without, shown, strict=True)) > 75


def test_what_the_sender_says_it_sends_is_kept() -> None:
    _, watching = begun()
    assert watching.half.peer_sends == ""
    watching.take(note(control.SENDS + "motion and a slow base"))
    watching.take(note("hello"))
    assert watching.half.peer_sends == "motion and a slow base"
