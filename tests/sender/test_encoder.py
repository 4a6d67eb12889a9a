from __future__ import annotations

import numpy as np
import pytest
from call_examples import FPS, SIDE, ColourEngine, make_basis, outgoing_half, picture

from sender.analysis import Analyser
from sender.crop import Crop
from sender.encoder import CallEncoder, EncoderSettings
from sender.framing import Framed, Sight
from sender.refresh import Budget, EveryN, First
from sender.source_coder import SourceJob
from sender.source_scheduler import IN_FLIGHT
from shared.call.loop import TooManyErrors
from shared.codec import control
from shared.codec.bundle import Bundle, decode_bundle
from shared.codec.picture import PictureMessage, decode_picture
from shared.codec.pieces import Reassembler
from shared.models.engine import Picture
from shared.motion import keypoints
from shared.transport.link import Channel
from shared.transport.pacing import PIECE

STEP = 1 / FPS


def held(half: CallEncoder, epoch: int, *ids: int, now: float = 0.0) -> None:
    half.receive(Channel.CONTROL, control.pack_control(control.SourceHeld(epoch, ids)), now)


def sent(half: CallEncoder, now: float) -> tuple[list[Bundle], list[control.Control], list[bytes]]:
    """What the half sends at `now`: bundles, control messages, pieces."""
    out = half.tick(now, 0)
    return (
        [decode_bundle(data, make_basis()) for channel, data in out if channel is Channel.MOTION],
        [control.unpack_control(data) for channel, data in out if channel is Channel.CONTROL],
        [data for channel, data in out if channel is Channel.PICTURES],
    )


def push(half: CallEncoder, frame: Picture | None, now: float) -> SourceJob | None:
    return half.push(None if frame is None else half.analyse(frame), now, now)


def begun(half: CallEncoder) -> SourceJob:
    """The half with its first source held, at time 0."""
    job = push(half, picture(0, 1), 0.0)
    assert job is not None
    half.done(job.perform(), 0.0)
    held(half, 1, job.source_id)
    half.tick(0.0, 0)
    return job


def test_frames_count_only_once_a_source_is_held() -> None:
    half = outgoing_half()
    job = push(half, picture(0), 0.0)
    assert job is not None
    for n in range(1, 20):
        assert push(half, picture(n), n * STEP) is None  # one in flight is enough
    assert half.counts.frames_sent == 0
    assert not sent(half, 1.0)[0]
    held(half, 1, job.source_id)
    push(half, picture(1), 1.0)
    assert half.counts.frames_sent == 1


def test_bundles_are_consecutive_and_name_clock_and_epoch() -> None:
    half = outgoing_half(bundle=3)
    begun(half)
    bundles = []
    for n in range(9):
        push(half, picture(n), 100 + n * STEP)
        bundles += sent(half, 100 + n * STEP)[0]
    assert [b.first_frame for b in bundles] == [0, 3, 6]
    assert [b.clock_ms for b in bundles] == [100_000, 100_120, 100_240]
    assert {b.epoch for b in bundles} == {1}
    yaws = [float(m.rotation[0]) for b in bundles for m in b.frames if m is not None]
    assert yaws == list(range(9))


def stats(behind_ms: int) -> bytes:
    return control.pack_control(control.Stats(0, 0, 0, 0, None, 0, behind_ms))


def test_a_link_that_falls_behind_gets_larger_bundles_until_it_has_recovered() -> None:
    half = outgoing_half(bundle=2)
    begun(half)
    sizes = []
    for n in range(40):
        if n in (8, 20):
            half.receive(Channel.CONTROL, stats(1000 if n == 8 else 0), n * STEP)
        push(half, picture(n), n * STEP)
        sizes += [len(b.frames) for b in sent(half, n * STEP)[0]]
    assert sizes[:4] == [2] * 4
    assert 4 in sizes
    assert sizes[-1] == 3


def test_while_the_link_takes_nothing_bundles_wait_and_the_oldest_frames_make_room() -> None:
    half = outgoing_half(bundle=2)
    begun(half)
    for n in range(30):
        push(half, picture(n), n * STEP)
        assert [c for c, _ in half.tick(n * STEP, 0 if n < 4 else 5000) if c is Channel.MOTION] in (
            [],
            [Channel.MOTION],
        )
    for n in range(30, 34):
        half.tick(n * STEP, 0)
        push(half, picture(n), n * STEP)
        (bundle,) = sent(half, n * STEP)[0] or [None]
        if bundle is not None:
            break
    assert bundle is not None
    assert len(bundle.frames) == 10
    assert [round(float(m.rotation[0])) for m in bundle.frames if m is not None] == list(range(n - 9, n + 1))
    assert bundle.first_frame == n - 9
    assert bundle.clock_ms == round((n - 9) * STEP * 1000)
    assert half.counts.frames_sent + half.counts.frames_dropped == n + 1
    assert half.counts.frames_dropped > 0


def test_at_half_the_rate_every_second_frame_travels_under_its_own_number() -> None:
    settings = EncoderSettings(FPS, 3, SIDE, "max", "none", step=2)
    half = CallEncoder(settings, ColourEngine(), make_basis(), First())
    begun(half)
    bundles = []
    for n in range(1, 16):
        push(half, picture(n), n * STEP)
        bundles += sent(half, n * STEP)[0]
    assert [b.first_frame for b in bundles] == [0, 6]
    assert {b.frame_interval_ms for b in bundles} == {80.0}
    assert [round(float(m.rotation[0])) for b in bundles for m in b.frames if m is not None] == [1, 3, 5, 7, 9, 11]
    assert half.counts.frames_sent == 8


def test_pieces_of_later_sources_go_with_bundles() -> None:
    half = CallEncoder(EncoderSettings(FPS, 5, 256, framing="none"), ColourEngine(size=256), make_basis(), EveryN(5))
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    first = push(half, noise, 0.0)
    assert first is not None
    half.done(first.perform(), 0.0)
    held(half, 1, first.source_id)
    while half.pictures_waiting:
        half.tick(0.0, 0)
        half._pacer.drop_all_but(-1)
    with_bundle, alone = 0, 0
    for n in range(100):
        job = push(half, noise, 1 + n * STEP)
        if job is not None:
            half.done(job.perform(), 0.0)
        for look in range(2):
            bundles, _, pieces = sent(half, 1 + (n + look / 2) * STEP)
            with_bundle += len(pieces) if bundles else 0
            alone += 0 if bundles else len(pieces)
            assert all(len(piece) <= PIECE for piece in pieces)
    assert with_bundle > 10
    assert alone == 0


def test_a_new_epoch_closes_the_bundle() -> None:
    half = outgoing_half(EveryN(2))
    first = begun(half)
    push(half, picture(1), 1.0)
    job = push(half, picture(2), 1.04)
    assert job is not None
    held(half, 2, first.source_id, job.source_id)
    push(half, picture(3), 1.08)
    bundles, _, _ = sent(half, 1.1)
    assert [(b.epoch, len(b.frames)) for b in bundles] == [(1, 2)]
    (last, _) = half.finish("the end", 0.0)
    bundle = decode_bundle(last[1], make_basis())
    assert (bundle.epoch, bundle.first_frame, len(bundle.frames)) == (2, 2, 1)


def test_the_source_message_holds_picture_keypoints_and_motion() -> None:
    half = outgoing_half()
    job = push(half, picture(12.5, 77), 0.0)
    assert job is not None
    half.done(job.perform(), 0.0)
    whole, reassembler, now = None, Reassembler(), 0.0
    while whole is None:
        now += 0.02
        for piece in sent(half, now)[2]:
            whole = reassembler.add(piece)
    message = PictureMessage.unpack(whole)
    assert (message.source_id, message.width, message.height) == (job.source_id, SIDE, SIDE)
    assert message.motion.rotation[0] == 12.5
    assert (decode_picture(message.codec, message.data, SIDE, SIDE) == picture(12.5, 77)).all()
    assert np.abs(message.canonical - job.analysis.canonical).max() < 1e-3


def test_freq_15_sends_a_source_every_15_frames() -> None:
    half, jobs, epoch = outgoing_half(EveryN(15)), [], 0
    for n in range(91):
        job = push(half, picture(n % 50), n * STEP)
        if job is not None:
            jobs.append((n, job.source_id))
            epoch += 1
            held(half, epoch, *[i for _, i in jobs][-6:])
    assert [n for n, _ in jobs] == [0, 15, 30, 45, 60, 75, 90]
    assert half.counts.sources_held == 7


def test_an_unacknowledged_source_is_given_up_after_20_s() -> None:
    half = outgoing_half()
    assert push(half, picture(0), 0.0) is not None
    assert push(half, picture(0), 20.0) is None
    second = push(half, picture(5), 20.1)
    assert second is not None
    held(half, 1, second.source_id)
    assert [s.source_id for s in half.gallery.sources] == [second.source_id]


def test_a_source_that_was_given_up_may_still_arrive() -> None:
    half = outgoing_half()
    first = push(half, picture(0), 0.0)
    second = push(half, picture(5), 30.0)
    assert first is not None and second is not None
    held(half, 1, first.source_id, now=31.0)  # a tunnel, and then everything comes
    held(half, 2, first.source_id, second.source_id, now=31.1)
    assert half.counts.malformed == 0
    assert [s.source_id for s in half.gallery.sources] == [first.source_id, second.source_id]


def test_what_is_remembered_of_lost_sources_is_bounded() -> None:
    half = outgoing_half()
    for n in range(1000):
        assert push(half, picture(0), 21.0 * n) is not None
    assert len(half.sources.in_flight) == IN_FLIGHT


def test_a_request_brings_a_source_even_if_the_policy_wants_none() -> None:
    half = outgoing_half()
    begun(half)
    assert push(half, picture(0), 1.0) is None
    half.receive(Channel.CONTROL, control.pack_control(control.SourceRequest(None, "undecodable")), 1.0)
    assert push(half, picture(0), 1.1) is not None
    assert push(half, picture(0), 1.2) is None


def test_no_face_is_said_once_and_frames_go_on() -> None:
    half = outgoing_half(bundle=2)
    begun(half)
    notes, frames = [], []
    for n, frame in enumerate([picture(1), None, None, None, picture(2), picture(3)]):
        push(half, frame, 1 + n * STEP)
        bundles, messages, _ = sent(half, 1 + n * STEP)
        notes += [m.text for m in messages if isinstance(m, control.Note)]
        frames += [m is not None for b in bundles for m in b.frames]
    assert notes == ["no face", "face"]
    assert frames == [True, False, False, False, True, True]
    assert half.counts.no_face == 3


def test_a_call_that_begins_without_a_face_says_so() -> None:
    half = outgoing_half()
    assert push(half, None, 0.0) is None
    assert sent(half, 0.0)[1] == [control.Note("no face")]
    assert push(half, picture(0), 0.1) is not None


class MovingFramer:
    """Cuts the left half of a picture until `right` is set."""

    def __init__(self) -> None:
        self.right, self.moved = False, True

    def update(self, frame: Picture) -> Framed:
        moved, self.moved = self.moved, False
        return Framed(Crop(SIDE // 2 if self.right else 0, 8, SIDE), moved)

    def examine(self, frame: Picture, canonical: np.ndarray, points: np.ndarray) -> Sight:
        return Sight.CLEAR


def test_motion_stays_in_the_crop_that_is_held_until_the_new_source_is() -> None:
    half = outgoing_half(bundle=1)
    framer = MovingFramer()
    half.analyse = Analyser(ColourEngine(), framer, SIDE).analyse  # type: ignore[method-assign]
    frame = picture(0, side=2 * SIDE)
    first = push(half, frame, 0.0)
    assert first is not None
    held(half, 1, first.source_id)
    push(half, frame, 0.1)
    framer.right = framer.moved = True
    job = push(half, frame, 0.2)
    assert job is not None
    assert push(half, frame, 0.3) is None  # the new source is in flight
    held(half, 2, job.source_id)
    push(half, frame, 0.4)
    motions = [b.frames[0] for b in sent(half, 0.5)[0]]
    assert [round(float(m.translation[0]), 3) for m in motions if m is not None] == [0, 1, 1, 0]
    assert job.analysis.crop_number == (first.analysis.crop_number + 1) % 256


def test_mapped_keypoints_lie_on_the_same_pixels_of_the_camera() -> None:
    half = outgoing_half()
    framer = MovingFramer()
    half.analyse = Analyser(ColourEngine(), framer, SIDE).analyse  # type: ignore[method-assign]
    frame = picture(0, side=4 * SIDE)
    first = push(half, frame, 0.0)
    assert first is not None
    held(half, 1, first.source_id)
    before = first.analysis.crop
    analysis = half.analyse(frame)
    assert analysis is not None
    for crop in (Crop(40, 20, 100), Crop(3, 90, 31)):
        elsewhere = type(analysis)(analysis.picture, crop, 9, analysis.canonical, analysis.motion)
        points = keypoints(analysis.canonical, analysis.motion)[:, :2]
        mapped = keypoints(analysis.canonical, elsewhere.motion_in(before))[:, :2]
        pixels = [crop.x, crop.y] + (points + 1) / 2 * crop.side
        again = [before.x, before.y] + (mapped + 1) / 2 * before.side
        assert np.abs(pixels - again).max() < 1e-3


def test_garbage_is_counted_and_ends_the_call_after_a_bound() -> None:
    half = outgoing_half()
    begun(half)
    garbage = [(Channel.CONTROL, b"\xc1"), (Channel.MOTION, b"x"), (Channel.PICTURES, b""), (Channel.CONTROL, b"\x80")]
    for n in range(20):
        half.receive(*garbage[n % 4], 0.0)
    assert half.counts.malformed == 20
    with pytest.raises(TooManyErrors, match="21 malformed messages"):
        half.receive(*garbage[0], 0.0)


def test_held_that_was_never_sent_is_malformed_and_changes_nothing() -> None:
    half = outgoing_half()
    first = begun(half)
    held(half, 9, first.source_id, 4711)
    assert half.counts.malformed == 1
    assert half.gallery.epoch == 1
    second = push(half, picture(0), 0.1)
    assert second is None
    held(half, 2, first.source_id)
    assert half.gallery.epoch == 2


def test_a_true_source_in_a_false_list_is_not_lost() -> None:
    half = outgoing_half()
    job = push(half, picture(0), 0.0)
    assert job is not None
    held(half, 1, job.source_id, 4711)
    held(half, 1, job.source_id)
    assert half.counts.malformed == 1
    assert half.counts.sources_held == 1
    assert [s.source_id for s in half.gallery.sources] == [job.source_id]


def test_a_heartbeat_fills_silence_and_answers_the_clock() -> None:
    half = outgoing_half()
    assert sent(half, 10.0)[1] == [control.Heartbeat(10_000, None)]
    assert sent(half, 11.9) == ([], [], [])
    assert sent(half, 12.0)[1] == [control.Heartbeat(12_000, None)]
    stats = control.Stats(0, 0, 0, 0, None, 0, 0, 555)
    half.receive(Channel.CONTROL, control.pack_control(stats), 12.5)
    assert sent(half, 12.5)[1] == [control.Heartbeat(12_500, 555)]
    assert half.statistics == stats


def test_the_end_sends_what_was_gathered_and_says_goodbye() -> None:
    half = outgoing_half()
    begun(half)
    push(half, picture(3), 1.0)
    out = half.finish("the end", 0.0)
    assert [channel for channel, _ in out] == [Channel.MOTION, Channel.CONTROL]
    assert control.unpack_control(out[-1][1]) == control.Bye("the end")
    assert len(half.finish("again", 0.0)) == 1
    half.receive(Channel.CONTROL, control.pack_control(control.Bye("enough")), 2.0)
    assert half.peer_bye == "enough"


def test_source_ids_wrap() -> None:
    half = outgoing_half()
    half.sources._last_id = 0xFFFF
    job = push(half, picture(0), 0.0)
    assert job is not None
    assert job.source_id == 0
    held(half, 1, 0)
    assert half.counts.sources_held == 1


@pytest.mark.parametrize(("bundle", "size", "message"), [(0, 256, "--bundle"), (11, 256, "--bundle"), (5, 100, "64")])
def test_impossible_settings_are_refused(bundle: int, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderSettings(25, bundle, size)


def test_a_new_source_supersedes_pieces_not_sent_yet() -> None:
    settings = EncoderSettings(FPS, 5, 256, framing="none")
    half = CallEncoder(settings, ColourEngine(size=256), make_basis(), EveryN(1))
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    first = push(half, noise, 0.0)
    assert first is not None
    half.done(first.perform(), 0.0)
    assert half.tick(0.0, 0)
    assert half.pictures_waiting
    held(half, 1)  # the receiver lost everything
    job = push(half, noise, 25.0)
    assert job is not None
    half.done(job.perform(), 0.0)
    ids = {int.from_bytes(data[:2], "big") for now in (25, 26, 27) for data in sent(half, now)[2]}
    assert ids == {job.source_id}


def test_a_call_that_nobody_watches_keeps_its_budget() -> None:
    budget = Budget(10.0)
    settings = EncoderSettings(FPS, 5, SIDE, "max", "none")
    half = CallEncoder(settings, ColourEngine(), make_basis(), First(), budget=budget)
    now = 0.0
    half.counted = lambda: (round(1000 * now), round(500 * now))  # 12 kbit/s
    begun(half)
    for n in range(400):
        now = n * STEP
        half.tick(now, 0)
    assert budget.room(now) == 0
    assert not budget.allows(1000, now)
