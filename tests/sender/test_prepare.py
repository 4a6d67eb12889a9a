"""What is opened before a call is closed again, whatever fails or whoever gives up; and sources that fail in a call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from call_examples import FPS, ColourEngine, make_basis, outgoing_half, picture
from memory_link import memory_pair

from sender import call as module
from sender.analysis import Analysis
from sender.call import SenderSettings, prepare_aside, prepare_sending
from sender.capture import Capture, Frame, SourceError
from sender.encoder import CallEncoder, EncoderSettings
from sender.microphone import Played, Sound
from sender.pump import Pump
from sender.refresh import EveryN
from sender.sending import Prepared, Sending
from shared.audio.packetizer import Packet
from shared.codec import control
from shared.models.engine import Picture
from shared.signalling.hello import Hello

WITHIN = 60.0
HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", FPS, 4, 64)


class Camera(Capture):
    """Gives so many frames, then it is pulled out."""

    kind = "camera"
    fps = FPS

    def __init__(self, frames: int = 0) -> None:
        self._frames = frames
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self._frames):
            yield number / FPS, picture(number % 50)
        raise SourceError("camera 0 stopped sending pictures; check that it is still connected.")

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.closed.set()


class Microphone(Sound):
    def __init__(self) -> None:
        super().__init__(False)
        self.closed = threading.Event()

    def take(self, stamp: float, start: float) -> list[Packet]:
        return []

    def cancel_echo(self, played: Played, say: Callable[[str], None]) -> None:
        say(f"hears {played()}")

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> tuple[Camera, Microphone]:
    camera, microphone = Camera(), Microphone()
    monkeypatch.setattr(module, "draws_quickly", lambda engine, device: False)
    monkeypatch.setattr(module, "load_engine", lambda *_, **__: ColourEngine())
    monkeypatch.setattr(module, "load_basis", lambda engine: make_basis())
    monkeypatch.setattr(module, "open_source", lambda *_: camera)
    monkeypatch.setattr(module, "open_sound", lambda *_: microphone)
    return camera, microphone


SETTINGS = SenderSettings(None, refresh=EveryN(15))


def test_what_went_well_is_open_until_it_is_given_back(opened: tuple[Camera, Microphone]) -> None:
    prepared = prepare_sending(SETTINGS)
    assert not any(each.closed.is_set() for each in opened)
    prepared.give_back()
    assert all(each.closed.is_set() for each in opened)


@pytest.mark.parametrize("step", ["open_sound", "load_engine", "affordable", "EncoderSettings", "load_basis", "Hello"])
def test_what_was_opened_before_something_failed_is_closed(
    opened: tuple[Camera, Microphone], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(module, step, broken)
    camera, microphone = opened
    with pytest.raises(RuntimeError, match="out of luck"):
        prepare_sending(SETTINGS)
    assert camera.closed.is_set()
    assert microphone.closed.is_set() is (step != "open_sound")


def test_one_that_cannot_be_closed_does_not_keep_the_other_open(opened: tuple[Camera, Microphone]) -> None:
    camera, microphone = opened
    prepared = prepare_sending(SETTINGS)

    def broken() -> None:
        raise OSError("it does not answer")

    microphone.close = broken  # type: ignore[method-assign]
    with pytest.raises(OSError, match="does not answer"):
        prepared.give_back()
    assert camera.closed.is_set()


async def test_a_caller_who_gives_up_leaves_nothing_open(
    opened: tuple[Camera, Microphone], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> ColourEngine:
        begun.set()
        goes_on.wait(WITHIN)
        return ColourEngine()

    monkeypatch.setattr(module, "load_engine", slow)
    preparing = asyncio.ensure_future(prepare_aside(SETTINGS))
    assert await asyncio.to_thread(begun.wait, WITHIN)  # meanwhile the loop goes on
    preparing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await preparing
    goes_on.set()
    for each in opened:
        assert await asyncio.to_thread(each.closed.wait, WITHIN)


async def test_what_fails_in_the_thread_is_raised_here(
    opened: tuple[Camera, Microphone], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> Any:
        raise SourceError("there is no camera")

    monkeypatch.setattr(module, "open_source", missing)
    with pytest.raises(SourceError, match="there is no camera"):
        await prepare_aside(SETTINGS)


def sending(camera: Camera, goes_on: Callable[[str], None] | None) -> tuple[Sending, CallEncoder]:
    half = outgoing_half()
    return Sending(Prepared("camera:0", camera, None, half, HELLO), memory_pair()[0], goes_on=goes_on), half


async def test_a_microphone_is_told_of_the_speaker_beside_it() -> None:
    for sound, told in ((Microphone(), ["hears []"]), (None, [])):
        prepared, said = Prepared("camera:0", Camera(), sound, outgoing_half(), HELLO), list[str]()
        Sending(prepared, memory_pair()[0], two_way=True).cancel_echo(list, said.append)
        assert said == told


@pytest.mark.parametrize("frames", [0, 3])
async def test_a_camera_that_is_pulled_out_of_a_two_way_call_is_said_and_the_call_goes_on(frames: int) -> None:
    camera, said = Camera(frames), list[str]()
    part, half = sending(camera, said.append)
    running = asyncio.ensure_future(part.run())
    async with asyncio.timeout(WITHIN):
        while not camera.closed.is_set():
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert not running.done()
    assert said == ["sending nothing any more: camera 0 stopped sending pictures; check that it is still connected."]
    messages = [control.unpack_control(data) for channel, data in half.tick(0.0, 0) if channel == "control"]
    assert control.Note(control.CAMERA_OFF) in messages
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await part.close("the end")


async def test_a_camera_that_is_pulled_out_of_a_one_way_call_ends_it() -> None:
    camera = Camera(2)
    part, _ = sending(camera, None)
    with pytest.raises(SourceError, match="stopped sending pictures"):
        await asyncio.wait_for(part.run(), WITHIN)
    await part.close("the end")
    assert camera.closed.is_set()


async def test_a_frame_that_is_looked_at_while_the_camera_goes_off_is_not_sent() -> None:
    pushed: list[bool] = []

    class Half(CallEncoder):
        def analyse(self, frame: Picture) -> Analysis | None:
            found = super().analyse(frame)
            pump.camera_off = pump.camera_off or len(pushed) == 2
            return found

        def push(self, analysis: Analysis | None, clock: float, now: float, picture: Picture | None = None) -> Any:
            pushed.append(analysis is not None or picture is not None)
            return super().push(analysis, clock, now, picture)

    half = Half(EncoderSettings(FPS, 5, 64, "max", "none"), ColourEngine(), make_basis(), EveryN(15))
    pump = Pump(half, Camera(4), None)
    with pytest.raises(SourceError):
        await asyncio.wait_for(pump.run(), WITHIN)
    assert pushed == [True, True, False, False]
