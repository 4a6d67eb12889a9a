"""Films with any time stamps, through a call in a file, into a recording that lasts as long and sounds in step."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from call_examples import SIDE, ColourEngine, make_basis, picture, read_clip
from speech_examples import beeps, onsets, write_wav

from receiver.decoder import CallDecoder
from receiver.output.outputs import Sinks
from receiver.replay import pictures
from receiver.upscale import Bicubic
from sender.call_recording import play
from sender.capture import open_source
from sender.encoder import CallEncoder, EncoderSettings
from sender.microphone import FileSound
from sender.refresh import First
from shared.call.call_file import CallFileError, CallWriter, FiledFrame, FiledMessage, read_call
from shared.signalling.hello import Hello

FLASH, DARK = 50.0, -50.0


def film(path: Path, stamps: Sequence[float], flashes: Sequence[float] = ()) -> Path:
    """A film of frames at these seconds, bright for 0.2 s from each flash on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"crf": "12", "preset": "veryfast", "bf": "0"}
        for stamp in stamps:
            bright = any(0 <= stamp - begin < 0.2 for begin in flashes)
            frame = av.VideoFrame.from_ndarray(picture(FLASH if bright else DARK), format="rgb24")
            frame.pts, frame.time_base = round(1000 * stamp), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def variable() -> list[float]:
    """Of four seconds at 25 a second all frames of the first two, and every third of the rest."""
    return [n / 25 for n in range(100) if n < 50 or n % 3 == 0]


async def through(path: Path, out: Path, sound: Path | None = None) -> float:
    """Calls with a film into a call file, and that into a recording; the announced rate comes back."""
    engine = ColourEngine()
    with open_source(str(path)) as capture:
        settings = EncoderSettings(capture.fps, max(1, round(capture.fps * 0.12)), SIDE, "max", "none")
        sender = CallEncoder(settings, engine, make_basis(), First())
        hello = Hello("compact", "0123456789abcdef", "sender", "file", capture.fps, 4, SIDE)
        with CallWriter(out.with_suffix(".pinhole"), hello) as file:
            for now, messages in play(sender, capture, None, None if sound is None else FileSound(sound)):
                for channel, data in messages:
                    file.write(now, channel, data)
    hello, entries = read_call(out.with_suffix(".pinhole"))
    receiver = CallDecoder(engine, make_basis(), Bicubic(), hello.fps)
    sinks = Sinks(out, False, hello.fps, SIDE, sound=sound is not None)
    if sinks.sound is not None:
        receiver.audio_listeners.append(sinks.sound.push)
    for frame, shown in pictures(receiver, entries):
        await sinks.show(frame.number, shown, "", frame.capture)
    await sinks.close()
    return hello.fps


def flashes_in(path: Path) -> list[float]:
    """When the pictures of a film turned bright."""
    shown, rate = read_clip(path)
    red = [float(each[..., 0].mean()) for each in shown]
    return [n / rate for n, (before, after) in enumerate(pairwise(red), 1) if before < 128 <= after]


async def test_a_film_of_variable_rate_lasts_as_long_and_its_sound_is_in_step(tmp_path: Path) -> None:
    marks = [0.48, 1.2, 2.4, 3.24]
    path, wav = film(tmp_path / "v.mkv", variable(), marks), write_wav(tmp_path / "v.wav", beeps(4.0, marks))
    out = tmp_path / "o.mp4"
    assert await through(path, out, wav) == pytest.approx(25)
    shown, rate = read_clip(out)
    assert len(shown) / rate == pytest.approx(4.0, abs=0.08)
    assert flashes_in(out) == pytest.approx(marks, abs=0.13)  # in the slow part a frame stands for 0.12 s
    with av.open(str(out)) as file:
        sound = np.concatenate([each.to_ndarray().reshape(-1) for each in file.decode(audio=0)])
    assert onsets(sound) == pytest.approx(marks, abs=0.06)


async def test_a_pause_in_the_stamps_stays_and_what_is_said_in_it_too(tmp_path: Path) -> None:
    stamps = [n / 25 for n in range(50)] + [22 + n / 25 for n in range(50)]
    marks = [1.0, 9.0, 22.4]
    path, wav = film(tmp_path / "p.mkv", stamps, [1.0, 22.4]), write_wav(tmp_path / "p.wav", beeps(24.0, marks))
    out = tmp_path / "o.mp4"
    await through(path, out, wav)
    shown, rate = read_clip(out)
    assert len(shown) / rate == pytest.approx(24.0, abs=0.08)
    assert flashes_in(out) == pytest.approx([1.0, 22.4], abs=0.06)
    with av.open(str(out)) as file:
        sound = np.concatenate([each.to_ndarray().reshape(-1) for each in file.decode(audio=0)])
    assert onsets(sound) == pytest.approx(marks, abs=0.06)


@pytest.mark.parametrize(("fps", "seconds"), [(0.5, 12.0), (2.0, 8.0), (4.0, 6.0), (60.0, 3.0), (240.0, 2.0)])
async def test_files_of_any_rate_are_called_with_and_played(tmp_path: Path, fps: float, seconds: float) -> None:
    count = round(fps * seconds)
    path, out = film(tmp_path / "f.mkv", [n / fps for n in range(count)], [seconds / 2]), tmp_path / "o.mp4"
    told = await through(path, out)
    assert 0.5 <= told <= 120
    shown, rate = read_clip(out)
    last = (count - 1) / fps
    assert last <= len(shown) / rate <= last + 0.5
    assert flashes_in(out) == pytest.approx([seconds / 2], abs=0.6 * min(0.4, 1 / fps) + 0.6 / rate)  # made up


def test_a_call_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    hello = Hello("compact", "0123456789abcdef", "sender", "file", 240.0, 4, SIDE)
    with pytest.raises(CallFileError, match="fps is 240"):
        CallWriter(tmp_path / "c.pinhole", hello)
    assert not list(tmp_path.iterdir())
    with (
        CallWriter(tmp_path / "d.pinhole", Hello("compact", "0123456789abcdef", "sender", "file", 25.0, 4, 64)) as file,
        pytest.raises(ValueError, match="cannot be recorded"),
    ):
        file.mark(FiledFrame(0.0, 0, (1,)))
    assert [each for each in read_call(tmp_path / "d.pinhole")[1] if isinstance(each, FiledMessage)] == []
