from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from api_examples import PLAIN, call, colour_codec, yaw
from call_examples import ColourEngine, make_basis, picture

from pinhole import Channel, Codec, EncoderOptions, EngineError, Incompatible, PinholeError, TooManyErrors
from receiver.settings import ReceiverContext
from receiver.upscale import Bicubic
from shared.codec import MalformedPicture, control
from shared.models.engine import Picture

STILL: list[Picture | None] = [picture(0.0)] * 50


class Patient(Executor):
    """Does nothing until it is told to."""

    def __init__(self) -> None:
        self.given: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future: Future[Any] = Future()
        self.given.append((future, lambda: fn(*args, **kwargs)))
        return future

    def work(self) -> None:
        """Does what was given to it until now."""
        given, self.given = self.given, []
        for future, act in given:
            future.set_result(act())


def test_frames_come_out_as_they_went_in_whatever_the_clocks() -> None:
    codec = colour_codec()
    encoder = codec.encoder(25, PLAIN)
    moved = [float(n - 25) for n in range(50)]
    frames = call(encoder, codec.decoder(encoder.hello), [*STILL, *(picture(each) for each in moved)])
    assert [yaw(each.picture) for each in frames][-45:] == moved[:45]
    assert [each.number for each in frames] == list(range(len(frames)))
    assert [round(each.time, 3) for each in frames] == [round(each.number / 25, 3) for each in frames]
    assert encoder.sources_held == 1
    assert encoder.face


def test_what_was_drawn_from_comes_with_the_picture() -> None:
    codec = colour_codec()
    frame = call(codec.encoder(25, PLAIN), codec.decoder(), [picture(12.0)] * 60)[-1]
    assert frame.motion is not None
    assert frame.motion.rotation[0] == yaw(frame.picture) == 12.0
    assert frame.picture.shape == (codec.size, codec.size, 3)


def test_a_camera_turned_off_holds_the_last_picture() -> None:
    codec = colour_codec()
    encoder, decoder = codec.encoder(25, PLAIN), codec.decoder()
    call(encoder, decoder, [picture(7.0)] * 60)
    assert decoder.face
    last = call(encoder, decoder, [None] * 20, 60 / 25)[-1]
    assert last.motion is None
    assert yaw(last.picture) == 7.0
    assert not decoder.face
    assert encoder.face is False


def test_the_last_frames_come_with_the_goodbyes() -> None:
    codec = colour_codec()
    encoder, decoder = codec.encoder(25, PLAIN), codec.decoder()
    shown = call(encoder, decoder, [*STILL, *(picture(each) for each in (1.0, 2.0, 3.0))])
    for channel, data in encoder.finish(2.2, "enough"):
        decoder.receive(channel, data, 52.2)
    assert decoder.ended == "enough"
    while decoder.next_time is not None:
        frame = decoder.due(decoder.next_time + 1e-6)
        assert frame is not None
        shown.append(frame)
    assert [yaw(each.picture) for each in shown[-3:]] == [1.0, 2.0, 3.0]
    for reply in decoder.finish(52.4, "enough, too"):
        encoder.receive(reply, 2.4)
    assert encoder.ended == "enough, too"


def test_sources_keep_to_a_budget() -> None:
    def sources(budget: float) -> int:
        codec = colour_codec()
        encoder, decoder = codec.encoder(25, replace(PLAIN, refresh="freq:10", budget=budget)), codec.decoder()
        call(encoder, decoder, [picture(0.0)] * 250)
        return encoder.sources_held

    assert sources(3.0) < sources(float("inf"))


def test_without_replies_no_motion_goes() -> None:
    encoder = colour_codec().encoder(25, PLAIN)
    channels = {channel for n in range(100) for channel, _ in encoder.push(picture(0.0), n / 25)}
    assert Channel.PICTURES in channels
    assert Channel.MOTION not in channels
    assert encoder.sources_held == 0


def test_a_sign_of_life_goes_without_frames() -> None:
    encoder = colour_codec().encoder(25, PLAIN)
    sent = [message for n in range(300) for message in encoder.tick(n / 25)]
    assert {channel for channel, _ in sent} == {Channel.CONTROL}
    assert all(isinstance(control.unpack_control(data), control.Heartbeat) for _, data in sent)


def test_slow_work_goes_to_an_executor() -> None:
    codec, coding, preparing = colour_codec(), Patient(), Patient()
    encoder, decoder = codec.encoder(25, PLAIN, executor=coding), codec.decoder(executor=preparing)
    assert not call(encoder, decoder, STILL)
    assert len(coding.given) == 1
    coding.work()
    assert not call(encoder, decoder, STILL, 2.0)
    assert encoder.sources_held == 0
    assert len(preparing.given) == 1
    preparing.work()
    assert len(call(encoder, decoder, STILL, 4.0)) > 40
    assert encoder.sources_held == 1


def test_what_fails_in_an_executor_is_not_lost() -> None:
    class Failing(Patient):
        def work(self) -> None:
            self.given.pop()[0].set_exception(MemoryError("no room"))

    failing = Failing()
    encoder = colour_codec().encoder(25, PLAIN, executor=failing)
    call(encoder, colour_codec().decoder(), STILL)
    failing.work()
    with pytest.raises(MemoryError, match="no room"):
        encoder.push(picture(0.0), 2.0)


def test_a_source_that_cannot_be_had_is_asked_for_again() -> None:
    class OnceBroken(Bicubic):
        broken = True

        def upscale(self, picture: Picture, size: int) -> Picture:
            if self.broken:
                self.broken = False
                raise MalformedPicture("no picture")
            return super().upscale(picture, size)

    codec = Codec(ReceiverContext(ColourEngine(), make_basis(), OnceBroken()), ColourEngine())
    encoder, decoder = codec.encoder(25, PLAIN), codec.decoder()
    assert not call(encoder, decoder, STILL)
    assert call(encoder, decoder, [picture(0.0)] * 600, 2.0)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((8, 64, 3), np.uint8),
        np.zeros((64, 5000, 3), np.uint8),
        [[1, 2, 3]],
    ],
)
def test_what_is_no_picture_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a frame"):
        colour_codec().encoder(25, PLAIN).push(wrong, 0.0)


def test_time_does_not_go_back() -> None:
    encoder = colour_codec().encoder(25, PLAIN)
    encoder.push(picture(0.0), 1.0)
    with pytest.raises(ValueError, match="in order"):
        encoder.push(picture(0.0), 0.9)


@pytest.mark.parametrize("fps", [0, 0.4, 61, float("nan")])
def test_a_rate_that_no_call_has_is_refused(fps: float) -> None:
    with pytest.raises(ValueError, match="frames a second"):
        colour_codec().encoder(fps)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"profile": "best"}, "balanced"),
        ({"base": "on"}, "always"),
        ({"framing": "all"}, "none"),
        ({"refresh": "pose"}, "pose:DEGREES"),
    ],
)
def test_an_option_that_is_not_there_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        EncoderOptions(**options)


def test_an_encoder_of_other_weights_is_refused() -> None:
    codec = colour_codec()
    hello = json.loads(codec.encoder(25, PLAIN).hello)
    with pytest.raises(Incompatible, match="other weights"):
        codec.decoder(json.dumps(hello | {"engine_hash": "0123456789abcdef"}).encode())
    with pytest.raises(Incompatible, match=r"Codec.load\('vox256'\)"):
        codec.decoder(json.dumps(hello | {"engine": "vox256"}).encode())


@pytest.mark.parametrize("hello", [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_a_hello_that_is_none_is_refused(hello: bytes) -> None:
    with pytest.raises(Incompatible, match="no hello"):
        colour_codec().decoder(hello)


def test_garbage_is_dropped_until_it_is_too_much() -> None:
    codec = colour_codec()
    encoder, decoder = codec.encoder(25, PLAIN), codec.decoder()
    decoder.receive("motion", b"garbage", 0.0)
    encoder.receive(b"garbage", 0.0)
    assert len(call(encoder, decoder, [*STILL, *STILL])) > 50
    with pytest.raises(TooManyErrors, match="malformed"):
        _fill(lambda: decoder.receive(Channel.MOTION, b"garbage", 5.0))
    with pytest.raises(PinholeError):
        _fill(lambda: encoder.receive(b"garbage", 5.0))


def _fill(send: Callable[[], None]) -> None:
    for _ in range(100):
        send()


def test_what_cannot_be_loaded_says_what_there_is() -> None:
    with pytest.raises(EngineError, match="256 or 512"):
        Codec.load(size=300, device="cpu")
    with pytest.raises(EngineError, match="compact"):
        Codec.load("none", device="cpu")
