from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest
from call_examples import (
    FPS,
    SIDE,
    incoming_half,
    make_basis,
    make_motion,
    outgoing_half,
    picture,
    psnr,
    source_that_came,
)
from hypothesis import given
from hypothesis import strategies as st

from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender.encoder import CallEncoder, EncoderSettings
from sender.refresh import EveryN, First
from shared.call.loop import TooManyErrors
from shared.codec import MalformedMessage, MalformedPicture, control
from shared.codec.bundle import Bundle, encode_bundle
from shared.codec.picture import PictureCodec, PictureMessage, decode_picture, encode_picture
from shared.codec.pieces import split
from shared.gallery import BOUND
from shared.models.engine import Engine, Picture
from shared.models.registry import load_basis
from shared.motion import Motion
from shared.transport.link import Channel
from shared.transport.resuming import Change

STEP = 1 / FPS
CANONICAL = np.zeros((4, 3), np.float32)


@functools.cache
def message(
    source_id: int, yaw: float = 0.0, shape: tuple[int, int] = (SIDE, SIDE), data: bytes | None = None
) -> bytes:
    plain = np.full((*shape, 3), (128, source_id, 0), np.uint8)
    codec, coded = encode_picture(plain, "max") if data is None else (PictureCodec.WEBP, data)
    return PictureMessage(source_id, 0, codec, shape[1], shape[0], CANONICAL, make_motion(yaw), coded).pack()


def give(half: CallDecoder, whole: bytes, now: float = 0.0) -> None:
    """A picture message arrives, and what a shell does with it."""
    for piece in split(whole, int.from_bytes(whole[1:3], "big")):
        half.receive(Channel.PICTURES, piece, now)
    while (job := half.next_job()) is not None:
        try:
            half.add_source(half.prepare(job))
        except MalformedMessage as error:
            half.refuse(job, error)


def move(half: CallDecoder, number: int, motions: tuple[Motion | None, ...], now: float, epoch: int = 1) -> None:
    bundle = Bundle(number, round(number * STEP * 1000), epoch, STEP * 1000, motions)
    half.receive(Channel.MOTION, encode_bundle(bundle, make_basis()), now)


def messages(half: CallDecoder, now: float) -> list[control.Control]:
    return [control.unpack_control(data) for _, data in half.tick(now)]


def converse(
    outgoing: CallEncoder, incoming: CallDecoder, frames: list[Picture | None], tail: float = 1.0
) -> list[tuple[int, Picture | None]]:
    """(number, picture) of all that the receiver shows of a call in simulated time over a perfect link."""
    shown: list[tuple[int, Picture | None]] = []
    for tick in range(round((len(frames) * STEP + tail) / 0.02)):
        now = tick * 0.02
        if tick % 2 == 0 and tick // 2 < len(frames):
            frame = frames[tick // 2]
            job = outgoing.push(None if frame is None else outgoing.analyse(frame), now, now)
            if job is not None:
                outgoing.done(job.perform(), 0.0)
        last = outgoing.finish("the end", 0.0) if tick == 2 * len(frames) else []
        for channel, data in outgoing.tick(now, 0) + last:
            incoming.receive(channel, data, now)
        while (job_in := incoming.next_job()) is not None:
            incoming.add_source(incoming.prepare(job_in))
        for channel, data in incoming.tick(now):
            outgoing.receive(channel, data, now)
        while (item := incoming.due(now)) is not None:
            drawn = None if not item[1] else incoming.draw(*item)
            if drawn is not None:
                incoming.shown(item[0], now)
            shown.append((item[0].number, drawn))
    return shown


def test_a_call_shows_every_motion_once_from_the_source_held() -> None:
    outgoing, incoming = outgoing_half(), incoming_half()
    yaws = [float(n % 100 - 50) for n in range(150)]
    shown = converse(outgoing, incoming, [picture(yaw, 7) for yaw in yaws])
    count = outgoing.counts.frames_sent
    assert count > 130
    assert [number for number, _ in shown] == list(range(count))
    for (_, drawn), yaw in zip(shown, yaws[-count:], strict=True):
        assert drawn is not None
        assert (drawn == picture(yaw, 7)).all()
    assert outgoing.counts.sources_sent == incoming.counts.sources_received == 1
    assert outgoing.counts.malformed == incoming.counts.malformed == 0
    assert outgoing.gallery.epoch == incoming.gallery.epoch == 1


def test_freq_15_over_both_halves() -> None:
    outgoing, incoming = outgoing_half(EveryN(15)), incoming_half()
    shown = converse(outgoing, incoming, [picture(n % 40, n) for n in range(200)])
    assert 200 // 15 - 1 <= incoming.counts.sources_received <= 200 // 15 + 1
    assert outgoing.counts.sources_held == incoming.counts.sources_received
    assert [s.source_id for s in outgoing.gallery.sources] == [s.source_id for s in incoming.gallery.sources]
    assert all(drawn is not None for _, drawn in shown)


def test_no_face_holds_the_picture_and_says_so() -> None:
    outgoing, incoming = outgoing_half(bundle=1), incoming_half()
    frames: list[Picture | None] = [picture(1)] * 20
    converse(outgoing, incoming, [*frames, *[None] * 10], tail=0.5)
    assert not incoming.face
    assert incoming.counts.frames_without_face == 10
    assert incoming.counts.not_drawable == 0


def test_a_face_that_comes_back_is_shown_again() -> None:
    outgoing, incoming = outgoing_half(bundle=1), incoming_half()
    shown = converse(outgoing, incoming, [*[picture(1)] * 20, *[None] * 10, *[picture(2)] * 10])
    assert incoming.face
    assert [drawn is None for _, drawn in shown[-20:]] == [True] * 10 + [False] * 10


def test_the_real_engine_draws_the_person_through_the_codec(engine: Engine, person: list[Picture]) -> None:
    settings = EncoderSettings(FPS, framing="none")
    outgoing = CallEncoder(settings, engine, load_basis("compact"), First())
    incoming = CallDecoder(engine, load_basis("compact"), Bicubic())
    frames: list[Picture | None] = [*person[:1] * 25, *person[1:30]]  # a still while the source travels
    shown = dict(converse(outgoing, incoming, frames))
    offset = len(frames) - outgoing.counts.frames_sent
    still, turned = shown[20 - offset], shown[len(frames) - 1 - offset]
    assert still is not None and turned is not None
    assert psnr(still, person[0]) > 28
    assert psnr(turned, person[29]) > 15
    assert np.abs(turned.astype(int) - still).mean() > 1


def test_frames_without_any_source_are_counted_not_drawn() -> None:
    half = incoming_half()
    move(half, 0, (make_motion(),) * 3, 1.0)
    assert half.due(2.0) is not None
    assert half.counts.not_drawable == 1


def test_the_same_source_twice_is_still_drawn_from() -> None:
    half = incoming_half()
    give(half, message(5))
    give(half, message(5))
    move(half, 0, (make_motion(yaw=3),), 1.0)
    item = half.due(2.0)
    assert item is not None
    assert (half.draw(item[0], item[1]) == picture(3, 5)).all()


def test_sources_dropped_from_the_gallery_are_forgotten() -> None:
    half = incoming_half()
    for n in range(40):
        give(half, message(n, yaw=n * 7 % 60))
    assert {s.source_id for s in half.gallery.sources} <= half.synthesis.ready
    assert len(half.synthesis.ready) <= BOUND + 8  # those of the epochs whose frames may be under way
    last = [m for m in messages(half, 0.0) if isinstance(m, control.SourceHeld)][-1]
    assert last == control.SourceHeld(40, tuple(s.source_id for s in half.gallery.sources))


@pytest.mark.parametrize("shape", [(SIDE, 32), (32, SIDE), (128, SIDE), (256, 128)])
def test_pictures_that_are_not_square_are_refused(shape: tuple[int, int]) -> None:
    half = incoming_half()
    give(half, message(1, shape=shape))
    assert half.counts.malformed == 1
    assert not half.gallery.sources


def test_pictures_of_any_square_size_are_taken() -> None:
    half = incoming_half()
    for n, side in enumerate((16, 64, 200)):
        give(half, message(n, shape=(side, side)))
    assert half.counts.malformed == 0
    assert len(half.gallery.sources) == 3


def test_an_undecodable_picture_asks_for_another() -> None:
    half = incoming_half()
    give(half, message(1, data=b"no picture"))
    assert half.counts.malformed == 1
    assert control.SourceRequest(None, "undecodable") in messages(half, 0.0)


def test_a_source_of_another_engine_is_refused() -> None:
    half = incoming_half()
    other = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((9, 3), np.float32))
    codec, data = encode_picture(picture(0), "max")
    whole = PictureMessage(1, 0, codec, SIDE, SIDE, np.zeros((9, 3), np.float32), other, data).pack()
    for piece in split(whole, 1):
        half.receive(Channel.PICTURES, piece, 0.0)
    job = half.next_job()
    assert job is not None
    with pytest.raises(MalformedPicture, match="9 keypoints"):
        half.prepare(job)


def test_waiting_pictures_are_bounded_and_the_newest_kept() -> None:
    half = incoming_half()
    for n in range(30):
        for piece in split(message(n), n):
            half.receive(Channel.PICTURES, piece, 0.0)
    waiting = []
    while (job := half.next_job()) is not None:
        waiting.append(job.source_id)
    assert waiting == [26, 27, 28, 29]


def test_garbage_is_counted_and_ends_the_call_after_a_bound() -> None:
    half = incoming_half()
    garbage = [(channel, data) for channel in Channel for data in (b"", b"\xff" * 40, b"\x01" * 20)]
    for n in range(50):
        half.receive(*garbage[n % len(garbage)], 0.0)
    assert half.counts.malformed == 50
    with pytest.raises(TooManyErrors, match="the sender sent 51 malformed messages"):
        half.receive(*garbage[0], 0.0)


def test_pictures_that_cannot_be_decoded_end_the_call_too() -> None:
    half = incoming_half()
    for n in range(50):
        give(half, message(n, data=b"no picture"))
    with pytest.raises(TooManyErrors, match="a WebP picture is one RIFF file"):
        give(half, message(50, data=b"no picture"))


@given(st.sampled_from(list(Channel)), st.binary(max_size=400))
def test_any_bytes_are_taken_or_counted(channel: Channel, data: bytes) -> None:
    half = incoming_half()
    half.receive(channel, data, 1.0)
    half.tick(1.0)
    assert half.counts.malformed <= 1


def test_good_messages_with_wrong_bytes_are_taken_or_counted() -> None:
    chance = random.Random(3)
    motions = tuple(make_motion(yaw=n) for n in range(5))
    good = [
        (Channel.MOTION, encode_bundle(Bundle(0, 0, 1, 40.0, motions), make_basis())),
        (Channel.PICTURES, split(message(3), 3)[0]),
        (Channel.CONTROL, control.pack_control(control.Heartbeat(5, 5))),
    ]
    for _ in range(300):
        half = incoming_half()
        give(half, message(1))
        channel, data = chance.choice(good)
        bad = bytearray(data)
        bad[chance.randrange(len(bad))] = chance.randrange(256)
        half.receive(channel, bytes(bad), 1.0)
        while (job := half.next_job()) is not None:
            try:
                half.add_source(half.prepare(job))
            except MalformedMessage as error:
                half.refuse(job, error)
        for now in (1.0, 2.0, 3.0):
            item = half.due(now)
            if item is not None and item[1]:
                half.draw(item[0], item[1])
            half.tick(now)


@pytest.mark.parametrize("theirs", [100.0, 1048.5, 50_000.0])
@pytest.mark.parametrize("uptime", [0.0, 12.5, 4_294_960.0, 4_294_967.0, 40_000_000.0])
def test_the_delay_is_right_whatever_the_uptime_of_both_ends(uptime: float, theirs: float) -> None:
    half = incoming_half()
    give(half, message(1), uptime)
    (asked,) = [m.clock_ms for m in messages(half, uptime) if isinstance(m, control.Stats)]
    sender_clock = theirs + 0.05  # half way of a round trip of 0.1 s, on the sender's clock
    answer = control.pack_control(control.Heartbeat(round(sender_clock * 1000), asked))
    half.receive(Channel.CONTROL, answer, uptime + 0.1)
    bundle = Bundle(0, round(theirs * 1000) + 200, 1, 40.0, (make_motion(),))
    half.receive(Channel.MOTION, encode_bundle(bundle, make_basis()), uptime + 0.25)
    item = half.due(uptime + 0.3)
    assert item is not None
    half.shown(item[0], uptime + 0.3)
    assert half.timing.delays_ms() == pytest.approx([100], abs=2)
    assert half.timing.delays_known == 1


def test_delays_of_an_hour_are_right_while_clocks_drift_apart() -> None:
    half, drift = incoming_half(), 50e-6
    give(half, message(1), 0.0)
    for number in range(0, 3600, 2):
        now = float(number)
        for asked in [
            m.clock_ms for m in messages(half, now) if isinstance(m, control.Stats) and m.clock_ms is not None
        ]:
            theirs = (now + 0.05) * (1 - drift)
            answer = control.Heartbeat(round(theirs * 1000), asked)
            half.receive(Channel.CONTROL, control.pack_control(answer), now + 0.1)
        captured = (now + 0.2) * (1 - drift)
        bundle = Bundle(number & 0xFFFF, round(captured * 1000), 1, 40.0, (make_motion(),))
        half.receive(Channel.MOTION, encode_bundle(bundle, make_basis()), now + 0.25)
        item = half.due(now + 0.9)
        if item is not None and half.timing.clock_offset is not None:
            half.shown(item[0], now + 0.3)
    delays = half.timing.delays_ms()
    assert len(delays) > 1700
    assert max(abs(each - 100) for each in delays) <= 18


def test_hostile_clocks_never_make_statistics_that_cannot_be_sent() -> None:
    half = incoming_half()
    give(half, message(1))
    half.receive(Channel.CONTROL, control.pack_control(control.Heartbeat(0, 0)), 0.0)
    for n in range(12):
        clock = -n * (1 << 31) + 1
        data = encode_bundle(Bundle(n, clock & 0xFFFFFFFF, 1, 40.0, (make_motion(),)), make_basis())
        half.receive(Channel.MOTION, data, 3.0 * n)
        while (item := half.due(3.0 * n + 2.9)) is not None:
            half.shown(item[0], 3.0 * n + 2.9)
        assert any(isinstance(m, control.Stats) for m in messages(half, 3.0 * n + 2.9))


def test_statistics_come_every_two_seconds() -> None:
    half = incoming_half()
    times = [n / 10 for n in range(100) if any(isinstance(m, control.Stats) for m in messages(half, n / 10))]
    assert times == pytest.approx([0, 2, 4, 6, 8])


def test_the_goodbye_of_the_sender_is_noted_and_answered() -> None:
    half = incoming_half()
    half.receive(Channel.CONTROL, control.pack_control(control.Bye("the end")), 0.0)
    assert half.peer_bye == "the end"
    assert control.unpack_control(half.finish("goodbye", 0.0)[-1][1]) == control.Bye("goodbye")


def test_a_source_of_a_sender_that_is_replaced_while_it_is_decoded_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    incoming, came = source_that_came()

    def decode(*picture: Any) -> Any:
        incoming.link_changed(Change.REPLACED, 20.0)
        return decode_picture(*picture)

    monkeypatch.setattr("receiver.synthesis.decode_picture", decode)
    incoming.add_source(incoming.prepare(came))
    assert incoming.held() == []


def test_each_frame_that_becomes_due_is_given_once_at_its_time() -> None:
    half = incoming_half()
    give(half, message(1))
    for number in range(0, 20, 5):
        move(half, number, tuple(make_motion(yaw=number + n) for n in range(5)), number * STEP + 0.2)
    began, middle, end = 0.0, 0.5, 2.0
    due = [*half.each_due(began, middle), *half.each_due(middle, end)]
    assert [frame.number for frame, _, _ in due] == list(range(20))
    assert all(mixed for _, mixed, _ in due)
    delay = half.playout.delay
    assert delay is not None
    assert [now for _, _, now in due] == pytest.approx([frame.capture + delay for frame, _, _ in due], abs=0.002)
    assert list(half.each_due(end, end)) == list(half.each_due(end, end - 1)) == []
