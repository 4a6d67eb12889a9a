"""Microphone and speaker, with a device of our own making in the place of PortAudio."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shared.audio import devices
from shared.audio.codec import RATE


class FakeStream:
    """What sounddevice opens."""

    latency = 0.04

    def __init__(self, rate: int, block: int, device: int | None, channels: int, form: str, **options: Any) -> None:
        if device == 2:
            raise FakePortAudioError("Device unavailable")
        self.device, self.callback, self.started, self.closed = device, options["callback"], False, False
        FAKE.streams.append(self)

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True


class FakePortAudioError(Exception):
    pass


class FakeModule(ModuleType):
    PortAudioError = FakePortAudioError
    InputStream = OutputStream = FakeStream
    streams: list[FakeStream]

    def query_devices(self, number: int | None = None, kind: str = "") -> Any:
        names = (("Built-in Microphone", 2, 0), ("Speakers", 0, 2), ("USB Headset", 1, 2))
        if kind:
            return {"default_samplerate": float(RATE)}
        return [{"name": n, "max_input_channels": i, "max_output_channels": o} for n, i, o in names]


FAKE = FakeModule("sounddevice")


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    FAKE.streams = []
    monkeypatch.setitem(sys.modules, "sounddevice", FAKE)


def test_devices_are_known_by_number_and_part_of_their_name() -> None:
    assert devices.names("input") == [(0, "Built-in Microphone"), (2, "USB Headset")]
    assert devices.find("default", "input") is None
    assert devices.find("headset", "output") == 2
    assert devices.find("0", "input") == 0


@pytest.mark.parametrize(("name", "kind"), [("1", "input"), ("7", "output"), ("trumpet", "input")])
def test_a_device_that_is_not_there_is_named_with_those_that_are(name: str, kind: str) -> None:
    with pytest.raises(devices.SoundDeviceError, match=rf"'{name}'; there are: .*USB Headset"):
        devices.find(name, kind)


def test_a_microphone_gives_samples_with_the_time_they_were_heard() -> None:
    microphone = devices.open_microphone("built")
    (stream,) = FAKE.streams
    assert (stream.device, stream.started) == (0, True)
    before = time.monotonic()
    stream.callback(np.full((960, 1), 0.5), 960, SimpleNamespace(currentTime=10.0, inputBufferAdcTime=9.75), None)
    stream.callback(np.zeros((960, 1)), 960, SimpleNamespace(currentTime=0.0, inputBufferAdcTime=0.0), None)
    after = time.monotonic()
    (clock, samples), (unknown, _) = microphone.read()
    assert before - 0.25 <= clock <= after - 0.25
    assert before - 0.02 <= unknown <= after - 0.02
    assert samples.tolist() == [0.5] * 960
    assert microphone.read() == []
    microphone.close()
    microphone.close()
    assert stream.closed


def test_a_microphone_that_nobody_listens_to_keeps_two_seconds() -> None:
    microphone = devices.MicrophoneStream()
    for _ in range(500):
        microphone.heard(np.zeros(960, np.float32), 0.0)
    assert sum(len(samples) for _, samples in microphone.read()) == 2 * RATE


def test_a_speaker_plays_in_order_and_silence_after_the_end() -> None:
    speaker = devices.open_speaker("speakers")
    (stream,) = FAKE.streams
    assert speaker.latency == 0.04
    speaker.write(np.arange(5, dtype=np.float32))
    speaker.write(np.arange(5, 9, dtype=np.float32))
    assert speaker.queued == pytest.approx(9 / RATE)
    taken = [np.full((4, 1), 9.0), np.full((8, 1), 9.0)]
    before = time.monotonic()
    for block, dac in zip(taken, (10.25, 0.0), strict=True):
        stream.callback(block, len(block), SimpleNamespace(currentTime=10.0, outputBufferDacTime=dac), None)
    after = time.monotonic()
    assert np.concatenate(taken)[:, 0].tolist() == [*range(9), 0, 0, 0]
    assert speaker.queued == 0
    (heard, first), (unknown, second) = speaker.played()
    assert before + 0.25 <= heard <= after + 0.25
    assert before + 0.04 <= unknown <= after + 0.04  # some systems tell no times
    assert [*first, *second] == [*range(9), 0, 0, 0]
    assert speaker.played() == []
    speaker.close()
    assert stream.closed


def test_a_device_that_cannot_be_opened_is_one_sentence() -> None:
    for opens, option in ((devices.open_microphone, "--microphone"), (devices.open_speaker, "--speaker")):
        with pytest.raises(devices.SoundDeviceError, match=rf"cannot be used \(Device unavailable\).*{option}"):
            opens("headset")


def test_a_missing_package_and_a_missing_library_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(devices.SoundDeviceError, match=r"pip install 'pinhole\[audio\]'"):
        devices.open_microphone("default")

    class NoLibrary:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [NoLibrary(), *sys.meta_path])
    with pytest.raises(devices.SoundDeviceError, match="libportaudio2"):
        devices.open_speaker("default")
