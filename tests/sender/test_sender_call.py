"""The pump: a clip played into a half, with a receiver that takes a source once all of it was sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from call_examples import ColourEngine, make_basis, picture

from sender.analysis import Analysis
from sender.call import SenderSettings
from sender.capture import Capture, Frame
from sender.cpu_load import Spare
from sender.encoder import CallEncoder, EncoderSettings, SentSource
from sender.profiles import PROFILES
from sender.pump import Pump
from sender.refresh import EveryN, First, FirstSource
from sender.source_coder import MadeSource
from sender.source_scheduler import Result
from shared.codec.bundle import decode_bundle
from shared.codec.picture import PictureMessage
from shared.models.engine import Picture
from shared.transport.link import Channel

FPS = 200.0
"""Tests need not take their time."""
NOBODY = picture(-64)


@pytest.fixture(autouse=True)
def _a_slow_machine_repeats_no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sender.pump.LATE_SECONDS", float("inf"))


class Frames(Capture):
    kind = "file"
    fps = FPS

    def __init__(self, pictures: list[Picture]) -> None:
        self._pictures = pictures

    def __iter__(self) -> Iterator[Frame]:
        return iter([(n / FPS, shown) for n, shown in enumerate(self._pictures)])

    def close(self) -> None:
        pass


class Half(CallEncoder):
    """Sees nobody in a picture without red."""

    def __init__(self, *settings: Any, **more: Any) -> None:
        super().__init__(*settings, **more)
        self.flying: list[PictureMessage] = []
        """Sources that were coded and nobody is known to hold."""

    def analyse(self, frame: Picture) -> Analysis | None:
        return None if frame[0, 0, 0] == 0 else super().analyse(frame)

    def done(self, result: Result, now: float) -> SentSource | None:
        self.flying += [result.message] if isinstance(result, MadeSource) else []
        return super().done(result, now)


async def played(pictures: list[Picture], takes: bool = True) -> tuple[list[float | None], list[float]]:
    """Yaw of each frame of motion that was sent, None where there was nobody; and of each source."""
    settings = EncoderSettings(FPS, 5, 64, "max", "none")
    half = Half(settings, ColourEngine(), make_basis(), First(), first=FirstSource())
    pump = asyncio.ensure_future(Pump(half, Frames(pictures), None).run())
    yaws: list[float | None] = []
    sources: list[float] = []

    def take(messages: list[tuple[Channel, bytes]]) -> None:
        for channel, data in messages:
            if channel is Channel.MOTION:
                frames = decode_bundle(data, make_basis()).frames
                yaws.extend(None if m is None else float(m.rotation[0]) for m in frames)

    loop = asyncio.get_running_loop()
    while not pump.done():
        take(half.tick(loop.time(), 0))
        flying = half.sources.in_flight
        if takes and flying and half.counts.sources_sent and not half.pictures_waiting:
            sources.append(float(flying[0].motion.rotation[0]))
            half.assume_held(flying[0].source_id)
        await asyncio.sleep(0.002)
    pump.result()
    take(half.finish("the end", loop.time()))
    return yaws, sources


async def test_no_frame_of_a_file_is_lost_while_its_first_source_is_chosen() -> None:
    shown: list[float | None] = [float(40 - 2 * n) for n in range(18)] + [3.0] * 40 + [20.0] * 20
    yaws, sources = await asyncio.wait_for(played([picture(yaw or 0) for yaw in shown]), 30)
    assert yaws == shown
    assert sources == [3.0]


async def test_a_file_shorter_than_the_choice_is_sent_whole() -> None:
    shown = [30.0 - n for n in range(12)]
    yaws, sources = await asyncio.wait_for(played([picture(yaw) for yaw in shown]), 30)
    assert yaws == shown
    assert sources == [19.0]


async def test_frames_before_the_first_face_are_passed_over_and_none_after_it() -> None:
    shown: list[float | None] = [30.0, None, None, 25.0, *[20.0] * 30]
    pictures = [NOBODY] * 10 + [NOBODY if yaw is None else picture(yaw) for yaw in shown]
    yaws, sources = await asyncio.wait_for(played(pictures), 30)
    assert yaws == shown
    assert sources == [20.0]


async def test_a_file_without_a_face_ends() -> None:
    assert await asyncio.wait_for(played([NOBODY] * 20), 30) == ([], [])


async def test_a_receiver_that_takes_no_source_does_not_hold_up_a_file_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sender.pump.HOLD_SECONDS", 0.05)
    assert await asyncio.wait_for(played([picture(0)] * 20, takes=False), 30) == ([], [])


@pytest.mark.parametrize("profile", PROFILES)
def test_the_default_refresh_has_a_budget_and_others_have_none(profile: str) -> None:
    assert SenderSettings("url", profile=profile).byte_budget() is not None
    assert SenderSettings("url", profile=profile, refresh=EveryN(15)).byte_budget() is None
    assert SenderSettings("url", profile=profile, refresh=EveryN(15), budget=20).byte_budget() is not None


class Camera(Capture):
    """Its frames were captured at these clocks, and each is fetched some time later."""

    kind = "camera"
    fps = 30.0

    def __init__(self, ages: list[float], stop: float = 0.0) -> None:
        self._ages, self._stop = ages, stop

    def __iter__(self) -> Iterator[Frame]:
        for number, age in enumerate(self._ages):
            captured = time.monotonic() - age
            self.began = captured if self.began is None else self.began
            yield captured - self.began, picture(number % 50)
            time.sleep(0.02)
        time.sleep(self._stop)

    def close(self) -> None:
        pass


async def pushed(camera: Camera) -> list[tuple[float, float]]:
    """Clock of each frame that the pump pushed, and how old it was by then."""
    half = Half(EncoderSettings(30.0, 5, 64, "max", "none"), ColourEngine(), make_basis(), First())
    clocks: list[tuple[float, float]] = []
    push = half.push

    def note(analysis: Analysis | None, clock: float, now: float, picture: Picture | None = None) -> object:
        clocks.append((clock, now - clock))
        return push(analysis, clock, now, picture)

    half.push = note  # type: ignore[method-assign, assignment]
    await asyncio.wait_for(Pump(half, camera, None).run(), 30)
    return clocks


async def test_a_cameras_frames_keep_the_clock_of_their_capture() -> None:
    clocks = await pushed(Camera([0.0, 5.0, 5.0, 5.0]))
    assert len(clocks) == 1  # the others were captured before it
    clocks = await pushed(Camera([5.0, 4.0, 3.0, 2.0]))
    assert len(clocks) == 4
    assert all(age >= wanted for (_, age), wanted in zip(clocks, (5.0, 4.0, 3.0, 2.0), strict=True))


async def test_while_a_camera_stands_still_its_last_motion_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sender.pump.LONGEST_STILL", 0.03)
    clocks = await pushed(Camera([0.0, 0.0], stop=0.4))
    assert len(clocks) > 4
    assert [clock for clock, _ in clocks] == sorted(clock for clock, _ in clocks)


@pytest.mark.parametrize("kind", ["camera", "file"])
async def test_a_sender_that_must_spare_analyses_every_second_frame(
    kind: Literal["camera", "file"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sender.pump.LATE_SECONDS", 60.0)  # however slow this machine is
    monkeypatch.setattr("sender.pump.LONGEST_STILL", 60.0)
    half = Half(EncoderSettings(30.0, 5, 64, "max", "none"), ColourEngine(), make_basis(), First())
    half.effort.note = lambda late, now: None  # type: ignore[method-assign]
    half.effort.spare = Spare.FRAMES
    analysed, taken, heard = list[Picture](), list[float](), list[float]()
    analyse, push = half.analyse, half.push
    half.analyse = lambda frame: (analysed.append(frame), analyse(frame))[1]  # type: ignore[method-assign, func-returns-value]
    half.push = lambda a, clock, *more: (taken.append(clock), push(a, clock, *more))[1]  # type: ignore[method-assign, func-returns-value]
    camera = Camera([0.0] * 10)
    camera.kind = kind
    pump = Pump(half, camera, None)
    pump._opened = True
    monkeypatch.setattr(pump, "_hear", heard.append)
    await asyncio.wait_for(pump.run(), 30)
    assert (len(analysed), len(heard)) == (5, 10)  # sound goes with all
    assert len(taken) == (5 if kind == "camera" else 10)
    assert (pump.spared, pump.repeated) == ((5, 0) if kind == "camera" else (0, 5))
