from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from call_examples import picture
from speech_examples import beeps, speech, write_wav

from sender.capture import Capture, SourceError, open_source
from sender.microphone import FileSound, MicrophoneSound, SoundSettings, bundle_with_sound, open_sound
from shared.audio import echo
from shared.audio.codec import RATE, Samples
from shared.audio.devices import MicrophoneStream, SoundDeviceError
from shared.audio.packetizer import Packet
from shared.media import open_media


def write_talk(path: Path, samples: Samples, late: float = 0.0) -> Path:
    """A video of a second with sound of another rate, whose pictures begin `late` seconds after it."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width = video.height = 64
        video.pix_fmt, video.options = "yuv420p", {"bf": "0"}
        audio = container.add_stream("aac", rate=44100)
        audio.layout = "stereo"
        resampler = av.AudioResampler("fltp", "stereo", 44100, frame_size=1024)
        whole = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        whole.sample_rate, whole.pts, whole.time_base = RATE, 0, Fraction(1, RATE)
        for n in range(25):
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24")
            frame.pts, frame.time_base = n + round(late * 25), Fraction(1, 25)
            container.mux(video.encode(frame))
        for part in (*resampler.resample(whole), *resampler.resample(None)):
            container.mux(audio.encode(part))
        container.mux(video.encode())
        container.mux(audio.encode())
    return path


def taken(sound: FileSound, until: float, start: float = 0.0) -> list[Packet]:
    with sound:
        return [each for n in range(round(until * 25)) for each in sound.take(n / 25, start)]


def test_what_ends_after_a_frame_does_not_come_with_it(tmp_path: Path) -> None:
    sound = FileSound(write_wav(tmp_path / "s.wav", speech(1.2, pauses=False)))
    with sound:
        assert sound.take(0.05, 100.0) == []
        (packet,) = sound.take(0.07, 100.0)
        assert packet.clock_ms == 100_000
        assert [each.clock_ms for each in sound.take(0.19, 100.0)] == [100_060, 100_120]


def test_a_clip_brings_its_own_track(tmp_path: Path) -> None:
    path = write_talk(tmp_path / "t.mp4", beeps(2.0, [1.0], 0.4))
    with open_source(str(path)) as capture:
        sound = open_sound(SoundSettings(), str(path), capture)
        assert isinstance(sound, FileSound)
        first = next(each for each in taken(sound, 2.0, 50.0) if each.data)
        assert first.clock_ms == pytest.approx(51_000, abs=70)


def test_pictures_that_begin_later_have_less_of_the_sound_before_them(tmp_path: Path) -> None:
    path = write_talk(tmp_path / "t.mp4", beeps(2.0, [1.0], 0.4), late=0.4)
    with open_source(str(path)) as capture:
        sound = open_sound(SoundSettings(), str(path), capture)
        assert isinstance(sound, FileSound)
        first = next(each for each in taken(sound, 2.0) if each.data)
        assert first.clock_ms == pytest.approx(600, abs=70)


def test_no_sound_where_there_is_none_or_none_is_wanted(clip: Path, tmp_path: Path) -> None:
    with open_source(str(clip)) as capture:
        assert open_sound(SoundSettings(), str(clip), capture) is None
        assert open_sound(SoundSettings(False, "default"), str(clip), capture) is None
        wav = write_wav(tmp_path / "s.wav", speech(0.5))
        sound = open_sound(SoundSettings(file=wav, muted=True), str(clip), capture)
        assert sound is not None and sound.voice.muted
        sound.close()
    with open_source("sample") as sample:
        assert open_sound(SoundSettings(), "sample", sample) is None


@pytest.mark.parametrize(("name", "words"), [("none.wav", "no file"), ("text.wav", "cannot be read")])
def test_a_file_that_is_no_sound_is_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "text.wav").write_bytes(b"\1\2\3" * 100)
    with pytest.raises(SourceError, match=words):
        FileSound(tmp_path / name)


def test_a_video_without_sound_is_no_sound_file(clip: Path) -> None:
    with pytest.raises(SourceError, match="has no sound"):
        FileSound(clip)


class Camera(Capture):
    kind = "camera"
    fps = 25.0

    def close(self) -> None:
        pass

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(())


def test_a_microphone_speaks_by_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = MicrophoneStream()
    monkeypatch.setattr("sender.microphone.open_microphone", lambda name: stream)
    sound = open_sound(SoundSettings(), "camera:0", Camera())
    assert isinstance(sound, MicrophoneSound)
    monkeypatch.setattr("time.monotonic", lambda: 77.0)
    stream.heard(speech(0.7, pauses=False), 0.7)
    packets = sound.take(3.0, 1.0)
    assert [each.clock_ms for each in packets] == [76_300 + 60 * n for n in range(11)]
    sound.close()


class Subtracts:
    """An echo canceller for a microphone that hears nothing but the speaker, as loud as it plays."""

    def process(self, near: Samples, far: Samples) -> Samples:
        return near - far


def hears_a_speaker(sound: MicrophoneSound, stream: MicrophoneStream, monkeypatch: pytest.MonkeyPatch) -> int:
    """Packets of speech that go out while only the speaker says something, 20 ms after it was given it."""
    said, now, packets, told = speech(3.0, pauses=False), 50.0, 0, []
    played = iter([(50.0 + n * 0.02 + echo.LEAD_SECONDS, said[n * 960 : (n + 1) * 960]) for n in range(150)])
    sound.cancel_echo(lambda: [next(played), next(played)], told.append)
    for n in range(0, 150, 2):
        now += 0.04
        monkeypatch.setattr("time.monotonic", lambda now=now: now)
        stream.heard(said[n * 960 : (n + 2) * 960], 0.04)
        packets += sum(1 for each in sound.take(0.0, 0.0) if each.data)
    assert told == []
    return packets


@pytest.mark.parametrize(("wanted", "packets"), [(True, range(4)), (False, range(45, 51))])
def test_what_a_speaker_plays_is_not_sent(wanted: bool, packets: range, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = MicrophoneStream()
    monkeypatch.setattr("sender.microphone.load", Subtracts)
    monkeypatch.setattr("sender.microphone.open_microphone", lambda name: stream)
    sound = open_sound(SoundSettings(echo_cancellation=wanted), "camera:0", Camera())
    assert isinstance(sound, MicrophoneSound)
    assert hears_a_speaker(sound, stream, monkeypatch) in packets


def test_without_the_package_the_call_is_as_it_was_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise echo.EchoUnavailable("there is no echo cancellation")

    monkeypatch.setattr("sender.microphone.load", missing)
    stream, told = MicrophoneStream(), []
    sound = MicrophoneSound(stream)
    sound.cancel_echo(list, told.append)
    assert told == ["there is no echo cancellation"]
    stream.heard(speech(0.7, pauses=False), 0.7)
    assert len(sound.take(0.0, 0.0)) == 11


def test_a_file_hears_no_speaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sender.microphone.load", lambda: pytest.fail("nothing is to be cancelled"))
    FileSound(write_wav(tmp_path / "s.wav", speech(0.5))).cancel_echo(list, lambda text: None)


def test_without_a_microphone_a_camera_calls_without_sound_unless_one_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: str) -> MicrophoneStream:
        raise SoundDeviceError("there is no microphone")

    monkeypatch.setattr("sender.microphone.open_microphone", missing)
    with caplog.at_level(logging.WARNING):
        assert open_sound(SoundSettings(), "camera:0", Camera()) is None
    assert "the call has no sound: there is no microphone" in caplog.text
    with pytest.raises(SourceError, match="there is no microphone"):
        open_sound(SoundSettings(microphone="usb"), "camera:0", Camera())


def test_bundles_with_sound_are_short() -> None:
    assert [bundle_with_sound(fps) for fps in (25, 30, 12.5, 5)] == [3, 4, 2, 1]


def test_damaged_packets_of_sound_cost_their_own_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_talk(tmp_path / "t.mp4", beeps(2.0, [0.3, 1.5], 0.2))
    with open_media(path) as container:
        packets = [(p.pos, p.size) for p in container.demux(audio=0) if p.pos is not None and p.size]
    content = bytearray(path.read_bytes())
    for pos, size in packets[30:45]:  # 0.35 s between the beeps; some may still be heard, as noise
        content[pos : pos + size] = b"\xff" * size
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        heard = [each.clock_ms for each in taken(FileSound(path), 3.0) if each.data]
    assert any(250 < each < 600 for each in heard)
    assert min(each for each in heard if each > 1300) == pytest.approx(1500, abs=80)
    assert "packets of its sound could not be decoded" in caplog.text


def test_damaged_sound_ends(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "s.wav", speech(1.0, pauses=False))
    path.write_bytes(path.read_bytes()[:30_000])
    packets = taken(FileSound(path), 2.0)
    assert 0 < len([each for each in packets if each.data]) <= 30_000 / 2 / RATE / 0.06
    assert np.all(np.diff([each.clock_ms for each in packets]) > 0)
