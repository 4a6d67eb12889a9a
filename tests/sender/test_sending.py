"""The sending part of a call: what its status, its report and its own picture show, and what becomes of its source."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import numpy as np
from call_examples import FPS, outgoing_half, picture

from sender.capture import Capture, Frame
from sender.cpu_load import Spare
from sender.crop import Crop
from sender.encoder import CallEncoder
from sender.microphone import Played, Sound
from sender.preview import Preview
from sender.sending import VIEW_SIDE, CallStatistics, Prepared, Sending
from shared.audio.packetizer import AudioPacketizer, Packet
from shared.codec import control
from shared.models.engine import Picture
from shared.signalling.hello import Hello
from shared.transport.link import Channel, Kind, Link, PayloadBytes, Tally, Traffic, WireBytes

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", FPS, 4, 64)
SPLIT = np.concatenate([picture(20, 200), picture(-20, 40)], axis=1)
"""Wider than high: what is sent of it is its middle, half of one colour and half of another."""


class Line:
    """A link on which so many bytes have gone out and come back."""

    def __init__(self) -> None:
        self.out = self.back = 0

    def wire(self) -> WireBytes:
        return WireBytes(*(Traffic(0, dict.fromkeys(Kind, 0) | {Kind.HEADERS: n}) for n in (self.out, self.back)))

    def payload(self) -> PayloadBytes:
        nothing = dict.fromkeys(Channel, Tally())
        return PayloadBytes(nothing, nothing)


class Camera(Capture):
    """Gives these pictures, then no other until it is let go; then it ends."""

    kind = "camera"
    fps = FPS

    def __init__(self, *pictures: Picture) -> None:
        self._pictures = pictures
        self.let_go, self.closed = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for number, each in enumerate(self._pictures):
            yield number / FPS, each
        self.let_go.wait(60)

    def stop(self) -> None:
        self.let_go.set()

    def close(self) -> None:
        self.closed.set()
        self.let_go.set()


class Microphone(Sound):
    def __init__(self) -> None:
        super().__init__(False)
        self.voice = AudioPacketizer()

    def take(self, stamp: float, start: float) -> list[Packet]:
        return []

    def cancel_echo(self, played: Played, say: Callable[[str], None]) -> None:
        pass

    def close(self) -> None:
        pass


class Window:
    """What stands in for the preview's."""

    def __init__(self) -> None:
        self.with_base = False
        self.shown: list[tuple[Picture, Crop | None]] = []

    async def show_soon(self, rgb: Picture, crop: Crop | None) -> None:
        self.shown.append((rgb, crop))


def watched(half: CallEncoder, two_way: bool = False) -> tuple[CallStatistics, Line]:
    line = Line()
    return CallStatistics(half, cast(Link, line), two_way), line


def heard(half: CallEncoder, delay_ms: int, busy_ms: int | None = None) -> None:
    stats = control.Stats(0, 0, 0, 0, None, delay_ms, 0, busy_ms=busy_ms)
    half.receive(Channel.CONTROL, control.pack_control(stats), 0.0)


def part(camera: Camera, sound: Sound | None = None, **more: Any) -> Sending:
    return Sending(Prepared("camera:0", camera, sound, outgoing_half(), HELLO), cast(Link, Line()), **more)


@asynccontextmanager
async def running(sending: Sending, camera: Camera) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(sending.run())
    try:
        yield task
    finally:
        camera.let_go.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sending.close("the end")


async def until(happens: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happens():
            await asyncio.sleep(0.005)


def test_the_status_has_a_delay_once_the_receiver_has_said_one() -> None:
    half = outgoing_half()
    watch, _ = watched(half)
    assert "| 0 sources | delay ?" in watch.look()
    heard(half, 0)  # clocks are not compared yet
    assert "delay ?" in watch.look()
    heard(half, 170)
    assert watch.look().endswith("delay 170 ms")
    watch.look()
    heard(half, 190)
    watch.look()
    assert watch.report()["delay_ms"] == {"p50": 180.0, "p95": 189.0}


def test_the_status_says_which_machine_is_busy_and_that_nobody_is_there() -> None:
    half = outgoing_half()
    watch, _ = watched(half)
    half.push(None, 0.0, 0.0)
    assert watch.look().endswith("| no face in the picture")
    half.push(half.analyse(picture(0)), 0.1, 0.1)
    assert "no face" not in watch.look()
    heard(half, 100, busy_ms=300)
    assert watch.look().endswith("| the other side's machine is busy")
    half.effort.spare = Spare.LOOKS
    assert watch.look().endswith("| this machine is too busy for everything")


def test_the_other_sides_picture_is_not_charged_to_sources() -> None:
    for two_way in (False, True):
        half = outgoing_half()
        _, line = watched(half, two_way)
        line.out, line.back = 700, 300
        assert half.counted is not None
        assert half.counted() == (700, 0 if two_way else 300)


async def test_this_sides_own_picture_is_the_square_that_is_sent_as_in_a_mirror() -> None:
    camera = Camera(SPLIT)
    sending = part(camera)
    assert sending.view() is None
    async with running(sending, camera):
        await until(lambda: sending.view() is not None)
        view = sending.view()
        assert view is not None and view.shape == (VIEW_SIDE, VIEW_SIDE, 3)
        assert (view[5, 5, 1], view[5, -5, 1]) == (40, 200)
        sending.turn_camera_off(True)
        assert sending.view() is None
        assert "(camera off)" in sending.brief()
        sending.turn_camera_off(False)
        assert "(camera off)" not in sending.brief()


async def test_the_preview_gets_each_frame_with_its_crop() -> None:
    camera, window = Camera(SPLIT), Window()
    sending = part(camera, preview=cast(Preview, window))
    async with running(sending, camera):
        await until(lambda: bool(window.shown))
    ((shown, crop),) = window.shown
    assert np.array_equal(shown, SPLIT)
    assert crop == Crop(32, 0, 64)


async def test_a_one_way_call_is_over_when_its_source_is() -> None:
    camera = Camera(picture(0), picture(1))
    sending = part(camera)
    camera.let_go.set()
    await asyncio.wait_for(sending.run(), 60)
    assert not camera.closed.is_set()  # until the call is closed
    await sending.close("the end")
    assert camera.closed.is_set()
    assert sending.view() is None


async def test_a_two_way_call_goes_on_without_its_source_which_is_given_back() -> None:
    camera, said = Camera(picture(0)), list[str]()
    sending = part(camera, goes_on=said.append)
    async with running(sending, camera) as task:
        camera.let_go.set()
        await until(camera.closed.is_set)
        assert not task.done()
    assert said == []  # it has not failed


async def test_sound_can_be_muted_where_there_is_any() -> None:
    microphone = Microphone()
    sending = part(Camera(), microphone)
    assert sending.can_be_muted
    sending.mute(True)
    assert microphone.voice.muted
    sending.mute(False)
    assert not microphone.voice.muted
    silent = part(Camera())
    assert not silent.can_be_muted
    silent.mute(True)  # nothing to do


async def test_the_report_has_the_figures_of_source_half_and_base_layer() -> None:
    sending = part(Camera())
    sending.half.push(None, 0.0, 0.0)
    sending.half.receive(Channel.MOTION, b"no receiver sends motion", 0.0)
    report = sending.report()
    assert {name: report[name] for name in ("source", "source_kind", "precision", "face_seen", "malformed")} == {
        "source": "camera:0", "source_kind": "camera", "precision": "fp32", "face_seen": False, "malformed": 1,
    }  # fmt: skip
    assert report["sources_stuck"] == report["base_keys"] == report["frames_spared"] == report["sources_held"] == 0
