"""Echo cancellation, in a simulated room; what needs no module is tested with one that subtracts."""

from __future__ import annotations

import functools
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from speech_examples import speech

from benchmarks.room import Room, blocks
from shared.audio import devices, echo
from shared.audio.codec import RATE, Samples
from shared.audio.echo import FRAME, LAG_SECONDS, LEAD_SECONDS, EchoCanceller, EchoUnavailable, load

needs_module = pytest.mark.skipif(not echo.available(), reason="pywebrtc-audio is not installed")
SECONDS = 9


@functools.cache
def far_voice() -> Samples:
    return np.asarray(0.8 * speech(SECONDS, 1), np.float32)


@functools.cache
def near_voice() -> Samples:
    """Another voice: higher, and not in step."""
    other = speech(1.3 * SECONDS + 2, 2)
    at = np.arange(SECONDS * RATE) * 1.27 + 1.5 * RATE
    return np.interp(at, np.arange(len(other)), other).astype(np.float32)


def silence(seconds: float = SECONDS) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def through(canceller: EchoCanceller, room: Room, far: Samples, microphone: Samples) -> list[tuple[float, Samples]]:
    clean: list[tuple[float, Samples]] = []
    for taken in blocks(room, far, microphone):
        if taken.played:
            canceller.play(taken.samples, taken.clock)
        else:
            clean += canceller.clean(taken.samples, taken.clock)
    return clean


def level(samples: Samples) -> float:
    return 10 * float(np.log10(np.mean(samples**2) + 1e-12))


def joined(clean: list[tuple[float, Samples]]) -> Samples:
    return np.concatenate([samples for _, samples in clean])


def weaker(room: Room, far: Samples, canceller: EchoCanceller | None = None) -> float:
    """By how many dB the echo is weaker in the last three seconds."""
    microphone = room.microphone(far_voice(), silence())
    clean = joined(through(canceller or EchoCanceller(load()), room, far, microphone))
    return level(microphone[-3 * RATE :]) - level(clean[-3 * RATE :])


@needs_module
@pytest.mark.parametrize(
    "room",
    [
        Room(delay=0.02), Room(delay=0.25), Room(delay=0.25, told=0.0), Room(delay=0.08, told=1.3),
        Room(overdrive=2.0), Room(drift=1e-4), Room(loss_db=-6.0),
    ],
    ids=str,
)  # fmt: skip
def test_the_echo_of_a_room_is_weaker_by_20_db(room: Room) -> None:
    assert weaker(room, far_voice()) > 20  # benchmarks.echo: 29 to 40


@needs_module
def test_devices_of_44100_hz_are_cancelled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sound goes through both devices at their rate, as it goes through PortAudio's callbacks."""
    made: list[OnlyAt44100] = []

    class OnlyAt44100:
        latency = 0.02

        def __init__(self, rate: int, block: int, *_: object, callback: Any, **options: object) -> None:
            if rate != 44100:
                raise ValueError("invalid sample rate")
            self.block, self.callback = block, callback
            made.append(self)

        def start(self) -> None:
            pass

    module = SimpleNamespace(
        InputStream=OnlyAt44100, OutputStream=OnlyAt44100, PortAudioError=ValueError,
        query_devices=lambda number, kind: {"default_samplerate": 44100.0},
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    speaker, microphone = devices.open_speaker("default"), devices.open_microphone("default")
    speaker.write(far_voice())
    times, now = SimpleNamespace(currentTime=0.0, outputBufferDacTime=0.02, inputBufferAdcTime=-0.02), 10.0
    canceller, heard, clean = EchoCanceller(load()), [], []
    monkeypatch.setattr("time.monotonic", lambda: now)
    air = [np.zeros((882, 1), np.float32)] * 2
    for n in range(SECONDS * 50):
        now = 10 + n * 0.02
        made[1].callback(0.5 * air.pop(0), 882, times, None)
        air.append(np.zeros((882, 1), np.float32))
        made[0].callback(air[-1], 882, times, None)
        for clock, samples in speaker.played():
            canceller.play(samples, clock)
        for clock, samples in microphone.read():
            heard.append(samples)
            clean += canceller.clean(samples, clock)
    microphone_level = level(np.concatenate(heard)[-3 * RATE :])
    assert sum(map(len, heard)) == pytest.approx(SECONDS * RATE, abs=4)
    assert microphone_level == pytest.approx(level(0.5 * far_voice()[-3 * RATE :]), abs=0.5)
    assert microphone_level - level(joined(clean)[-3 * RATE :]) > 20


@needs_module
def test_near_speech_is_kept() -> None:
    near = near_voice()
    microphone = Room().microphone(silence(), near)
    clean = joined(through(EchoCanceller(load()), Room(), silence(), microphone))
    at, lag = 4 * RATE, round(LAG_SECONDS * RATE)
    said, heard = near[at : at + 3 * RATE], clean[at + lag : at + lag + 3 * RATE]
    assert np.corrcoef(said, heard)[0, 1] > 0.95
    assert -1 < level(heard) - level(said) < 8  # gain control


@needs_module
def test_near_speech_is_kept_while_the_far_end_speaks() -> None:
    near = near_voice()
    microphone = Room().microphone(far_voice(), near)
    clean = joined(through(EchoCanceller(load()), Room(), far_voice(), microphone))
    at, lag = 4 * RATE, round(LAG_SECONDS * RATE)
    said, heard = near[at : at + 3 * RATE], clean[at + lag : at + lag + 3 * RATE]
    assert np.corrcoef(said, heard)[0, 1] > 0.7
    assert level(heard) - level(said) > -6


@needs_module
@pytest.mark.parametrize("noise", [None, -70.0])
def test_silence_stays_silence(noise: float | None) -> None:
    quiet = silence(4) if noise is None else Room(noise_db=noise).microphone(silence(4), silence(4))
    clean = joined(through(EchoCanceller(load()), Room(), silence(4), quiet))
    assert level(clean[RATE:]) < -60


class Subtracts:
    """An echo canceller for a room that is none."""

    def __init__(self) -> None:
        self.far: list[Samples] = []

    def process(self, near: Samples, far: Samples) -> Samples:
        assert len(near) == len(far) and len(near) % FRAME == 0
        self.far.append(far)
        return near - far


def test_far_and_near_are_paired_by_their_times() -> None:
    sound = speech(3.0, 1)
    canceller = EchoCanceller(Subtracts())
    clean: list[tuple[float, Samples]] = []
    for n in range(140):  # of parts that are no multiples of each other; the far end is heard LEAD later
        canceller.play(sound[n * 960 : (n + 1) * 960], 100 + n * 0.02 + LEAD_SECONDS)
        for at in range(n * 960, (n + 1) * 960, 320):
            clean += canceller.clean(sound[at : at + 320], 100 + at / RATE)
    assert clean[0][0] == pytest.approx(100 - LAG_SECONDS, abs=1e-6)
    assert len(joined(clean)) >= 138 * 960
    assert np.max(np.abs(joined(clean)[2400:])) < 0.002
    begins = np.cumsum([0, *(len(samples) for _, samples in clean)])[:-1] / RATE + 100 - LAG_SECONDS
    assert [clock for clock, _ in clean] == pytest.approx(begins, abs=1e-4)


def test_near_sound_waits_for_the_far_end_but_not_for_one_that_stopped() -> None:
    canceller, block = EchoCanceller(Subtracts()), np.ones(960, np.float32)
    assert sum(len(s) for _, s in canceller.clean(block, 5.0)) == 960  # nobody has played yet
    canceller.play(block, 5.02 + LEAD_SECONDS)
    ready = [sum(len(s) for _, s in canceller.clean(block, 5.02 + 0.02 * n)) for n in range(20)]
    assert ready[0] >= 480
    assert 0 in ready  # it waits
    assert ready[12:] == [960] * 8  # and gives up
    assert sum(ready) == 20 * 960


def test_a_far_end_that_begins_again_is_cancelled_again() -> None:
    subtracts = Subtracts()
    canceller, block = EchoCanceller(subtracts), np.ones(960, np.float32)
    for n in range(100):
        if n < 20 or n > 60:
            canceller.play(block, 0.02 * n + 0.02 + LEAD_SECONDS)
        canceller.clean(block, 0.02 * n)
    heard = np.concatenate(subtracts.far)
    assert heard[10 * 960 : 15 * 960].min() == pytest.approx(1)
    assert not heard[32 * 960 : 58 * 960].any()
    assert heard[70 * 960 : 90 * 960].min() == pytest.approx(1)


def test_a_gap_in_the_microphone_is_a_gap() -> None:
    canceller, part = EchoCanceller(Subtracts()), np.ones(1000, np.float32)
    (first,) = canceller.clean(part, 1.0)
    (second,) = canceller.clean(part, 3.0)
    assert [len(first[1]), len(second[1])] == [960, 960]
    assert [first[0], second[0]] == pytest.approx([1.0 - LAG_SECONDS, 3.0 - LAG_SECONDS])


def test_without_the_package_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(EchoUnavailable, match=r"headphones, or pip install 'pinhole\[audio\]'"):
        load()
