"""Everything that can go wrong ends in one sentence: no traceback, no hang, and a recording that plays."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from call_examples import FPS, Program, outgoing_half, read_clip, write_clip
from receiving_examples import Listening

from receiver import __main__ as receiver_main
from receiver.settings import ReceiverContext
from receiver.upscale import Bicubic
from sender import __main__ as sender_main
from sender.call import SenderSettings, send_call
from sender.capture import open_source
from sender.pump import Pump
from shared.call.exit_status import FAILED, INTERRUPTED, USAGE
from shared.call.loop import TooManyErrors
from shared.codec.picture import PictureCodec, PictureMessage
from shared.codec.pieces import split
from shared.models import registry
from shared.models.engine import Engine
from shared.models.registry import load_basis, wire_hash
from shared.motion import Motion
from shared.signalling.direct import SignallingServer, join
from shared.signalling.hello import Hello, check
from shared.transport.link import Channel, LinkClosed
from shared.transport.webrtc import Peer

HELLO = Hello("compact", wire_hash("compact"), "sender", "file", FPS, 28, 256)


class Command:
    """`python -m sender` or `receiver` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def refused(self, name: str, *arguments: str | Path) -> str:
        """The sentence with which the program ends."""
        self._monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
        self._capfd.readouterr()
        code = {"sender": sender_main, "receiver": receiver_main}[name].main()
        return one_sentence(name, code, self._capfd.readouterr().err)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


def one_sentence(name: str, code: int, error: str) -> str:
    lines = [line for line in error.splitlines() if line.strip()]
    assert code == FAILED
    assert len(lines) == 1, error
    assert lines[0].startswith(f"python -m {name}: ")
    return lines[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def answering(on_offer: Callable[[Hello, str], Awaitable[tuple[Hello, str]]]) -> Iterator[str]:
    """The join URL of a receiver that another thread serves."""
    url, ready, loop = "", threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        nonlocal url, over
        over = asyncio.Event()
        async with SignallingServer("127.0.0.1", 0, on_offer) as server:
            url = server.join_url
            ready.set()
            await over.wait()

    over: asyncio.Event | None = None
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield url
    finally:
        assert over is not None
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


async def other_weights(theirs: Hello, sdp: str) -> tuple[Hello, str]:
    check(Hello("compact", "0123456789abcdef", "receiver", "camera", FPS, 28, 256), theirs)
    raise AssertionError("two hashes were taken for the same")


async def nonsense(theirs: Hello, sdp: str) -> tuple[Hello, str]:
    return Hello("compact", wire_hash("compact"), "receiver", "camera", FPS, 28, 256), "v=0\r\nnonsense"


# Before a call


def test_nobody_at_the_other_end(command: Command, clip: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/join/token"
    assert "cannot reach 127.0.0.1" in command.refused("sender", "--peer", url, "--source", clip)


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:1/", "ftp://127.0.0.1/join/token", "http://:x/join/y"])
def test_a_url_that_is_none(command: Command, clip: Path, url: str) -> None:
    assert "is not a Pinhole URL" in command.refused("sender", "--peer", url, "--source", clip)


def test_a_refused_token_and_other_weights(command: Command, clip: Path) -> None:
    with answering(other_weights) as url:
        said = command.refused("sender", "--peer", url[:-3] + "xyz", "--source", clip)
        assert "the token is not the receiver's" in said
        assert "different weights" in command.refused("sender", "--peer", url, "--source", clip)


def test_an_answer_that_describes_no_connection(command: Command, clip: Path) -> None:
    with answering(nonsense) as url:
        assert "the answer" in command.refused("sender", "--peer", url, "--source", clip)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("camera:97", "camera 97 is not there"),
        ("camera:x", "names no camera"),
        ("nowhere.mp4", "there is no file"),
        ("empty.mp4", "is empty"),
        ("text.mp4", "cannot be read as a video"),
        ("http://example.org/a.mp4", "is no source"),
    ],
)
def test_sources_that_cannot_be_had(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("no video\n" * 50)
    monkeypatch.setattr("sys.platform", "linux")  # where a missing camera is known without asking for it
    for where in (("--peer", "http://127.0.0.1:1/join/token"), ("--out", "c.pinhole")):
        assert message in command.refused("sender", *where, "--source", source)
    assert not Path("c.pinhole").exists()


def test_weights_missing_or_damaged(
    command: Command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good: dict[str, dict[str, Any]] = registry._catalogue()
    for change, message in (({"file": "nowhere.safetensors"}, "is missing"), ({"sha256": "0" * 64}, "is damaged")):
        bad = good | {"compact-motion": good["compact-motion"] | change}
        monkeypatch.setattr(registry, "_catalogue", lambda bad=bad: bad)
        assert message in command.refused("sender", "--out", tmp_path / "c.pinhole", "--source", clip)
        assert message in command.refused("receiver", "--listen", "127.0.0.1:0")


def test_weights_of_the_upscaler(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.safetensors").write_text("no weights")
    esrgan = ("receiver", "--listen", "127.0.0.1:0", "--upscaler", "esrgan")
    monkeypatch.setattr("receiver.upscale.stored", lambda name: tmp_path / name)
    assert "--upscaler-weights" in command.refused(*esrgan)
    assert "not a readable safetensors file" in command.refused(
        *esrgan, "--upscaler-weights", tmp_path / "w.safetensors"
    )


def test_a_recording_that_has_no_place(command: Command, tmp_path: Path, clip: Path) -> None:
    out = tmp_path / "missing" / "o.mp4"
    assert "does not exist" in command.refused("receiver", "--listen", "127.0.0.1:0", "--out", out)
    assert "create it first" in command.refused("sender", "--source", clip, "--out", tmp_path / "missing" / "c.pinhole")


def test_calls_that_cannot_be_played(command: Command, tmp_path: Path, clip: Path) -> None:
    assert "not a Pinhole call" in command.refused("receiver", "--play", clip, "--out", tmp_path / "o.mp4")
    missing = tmp_path / "missing.pinhole"
    assert "cannot read" in command.refused("receiver", "--play", missing, "--out", tmp_path / "o.mp4")


def test_a_source_picture_too_large_to_send(command: Command, tmp_path: Path, clip: Path) -> None:
    arguments = ("--picture-size", "512", "--picture-quality", "max", "--source", clip)
    assert "too large" in command.refused("sender", *arguments, "--out", tmp_path / "c.pinhole")


async def test_a_source_that_cannot_be_coded_ends_the_call(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*frame: object) -> None:
        raise ValueError("this picture cannot be coded")

    monkeypatch.setattr("sender.source_coder.encode_picture", fail)
    with pytest.raises(ValueError, match="cannot be coded"):
        await asyncio.wait_for(Pump(outgoing_half(), open_source(str(clip)), None).run(), 10)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("sender", [], "--peer LINK"),
        ("sender", ["--peer", "u", "--out", "f"], "--out goes without --peer"),
        ("sender", ["--receive", "--out", "f"], "--receive needs somebody to receive from"),
        ("sender", ["--peer", "u", "--window"], "--window is for the other side's picture: add --receive"),
        ("receiver", ["--profile", "thin"], "--profile is for what this side sends: add --send camera:0"),
        ("receiver", ["--send", "camera:0", "--calls", "2"], "--send goes with one call at a time"),
        ("receiver", ["--send", "camera:0", "--budget", "0"], "--budget is kbit/s"),
        ("sender", ["--peer", "u", "--freq", "0"], "--freq needs"),
        ("sender", ["--peer", "u", "--freq", "5", "--pose-threshold", "5"], "not allowed with"),
        ("sender", ["--peer", "u", "--pose-threshold", "-3"], "--pose-threshold is an angle"),
        ("sender", ["--peer", "u", "--refresh", "often"], "'often' is not quality, pose:DEGREES"),
        ("sender", ["--peer", "u", "--refresh", "quality", "--freq", "5"], "not allowed with"),
        ("sender", ["--peer", "u", "--budget", "0"], "--budget is kbit/s"),
        ("sender", ["--peer", "u", "--picture-quality", "101"], "0 to 100, or max"),
        ("sender", ["--peer", "u", "--stun", "a b"], "STUN"),
        ("receiver", ["--listen", "here"], "HOST:PORT"),
        ("receiver", ["--listen", "127.0.0.1:70000"], "HOST:PORT"),
        ("receiver", ["--keep", "--out", "f.mp4"], "leave out --keep"),
        ("receiver", ["--turn", "nowhere"], "TURN"),
    ],
)
def test_arguments_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], name: str, arguments: list[str], message: str
) -> None:
    parse = sender_main.parse if name == "sender" else receiver_main.parse
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == USAGE
    assert message in capsys.readouterr().err


def test_a_port_in_use(command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "is in use by another program" in command.refused("receiver", "--listen", where, "--device", "cpu")


# In a call


@pytest.fixture
def context(engine: Engine) -> ReceiverContext:
    return ReceiverContext(engine, load_basis("compact"), Bicubic())


async def connect(url: str) -> Peer:
    peer = Peer()
    _, answer = await join(url, HELLO, peer.create_offer)
    await peer.accept_answer(answer)
    await peer.wait_open()
    return peer


@pytest.mark.parametrize("channel", list(Channel))
async def test_a_sender_of_garbage_is_sent_away(
    context: ReceiverContext, capsys: pytest.CaptureFixture[str], tmp_path: Path, channel: Channel
) -> None:
    receiver = Listening(context, capsys, None, tmp_path / "r.json")
    peer = await connect(await receiver.url())
    chance = np.random.default_rng(0)
    for n in range(200):  # of random pieces, half could be the first of a picture
        peer.send(channel, chance.bytes(1 + 7 * n % 300))
    with pytest.raises(TooManyErrors, match="the sender sent 51 malformed messages"):
        await asyncio.wait_for(receiver.call, 30)
    await peer.close()
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["malformed"] >= 51
    assert "malformed messages" in report["ended"]


async def test_a_sender_of_pictures_that_are_none_is_sent_away(
    context: ReceiverContext, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    receiver = Listening(context, capsys, None, tmp_path / "r.json")
    peer = await connect(await receiver.url())
    still = Motion(np.zeros(3, np.float32), 1.0, np.zeros(3, np.float32), np.zeros((28, 3), np.float32))
    async with asyncio.timeout(30):
        for n in range(200):
            message = PictureMessage(n, 0, PictureCodec.WEBP, 64, 64, np.zeros((28, 3), np.float32), still, b"none")
            try:
                for piece in split(message.pack(), n):
                    peer.send(Channel.PICTURES, piece)
            except LinkClosed:
                break
            await asyncio.sleep(0.03)
            if receiver.call.done():
                break
        with pytest.raises(TooManyErrors, match="a WebP picture is one RIFF file"):
            await receiver.call
    await peer.close()


async def test_a_receiver_of_garbage_is_left(clip: Path, tmp_path: Path) -> None:
    peer = Peer()

    async def answer(theirs: Hello, sdp: str) -> tuple[Hello, str]:
        sdp = await peer.accept_offer(sdp)
        return Hello("compact", wire_hash("compact"), "receiver", "camera", FPS, 28, 256), sdp

    async with SignallingServer("127.0.0.1", 0, answer) as server:
        settings = SenderSettings(server.join_url, str(clip), framing="none", device="cpu", report=tmp_path / "s.json")
        call = asyncio.ensure_future(send_call(settings))
        await peer.wait_open()
        for n in range(30):
            peer.send(list(Channel)[n % 3], b"\xc1garbage")
        with pytest.raises(TooManyErrors, match="the receiver sent 21 malformed messages"):
            await asyncio.wait_for(call, 30)
    await peer.close()
    report = json.loads((tmp_path / "s.json").read_text())
    assert "malformed messages" in report["ended"]


async def test_a_video_without_a_face_is_a_call(
    context: ReceiverContext, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wall = write_clip(tmp_path / "wall.mp4", [np.full((240, 320, 3), 90 + n, np.uint8) for n in range(25)])
    receiver = Listening(context, capsys, tmp_path / "o.mp4", tmp_path / "r.json")
    sent = await asyncio.wait_for(send_call(SenderSettings(await receiver.url(), str(wall), device="cpu")), 30)
    shown = await asyncio.wait_for(receiver.call, 30)
    assert any("no face at the other end" in text for text in receiver.status.texts)
    assert (sent["sources_sent"], shown["frames_shown"], shown["malformed"]) == (0, 0, 0)
    assert sent["ended"] == "this side ended the call"
    assert not (tmp_path / "o.mp4").exists()


def wait_for_frames(path: Path) -> None:
    """Until a recording holds a second or so."""
    for _ in range(600):
        if path.exists() and path.stat().st_size > 4000:
            return
        time.sleep(0.1)
    raise AssertionError("nothing was recorded within a minute")


def test_ctrl_c_ends_both_sides_properly(tmp_path: Path) -> None:
    out, theirs, ours = tmp_path / "o.mp4", tmp_path / "r.json", tmp_path / "s.json"
    with Program("receiver", "--listen", "127.0.0.1:0", "--out", out, "--report", theirs) as receiver:
        arguments = ("--peer", receiver.join_url(), "--source", "sample", "--framing", "none", "--report", ours)
        with Program("sender", *arguments) as sender:
            wait_for_frames(out.with_suffix(".part.mp4"))
            sender.signal(signal.SIGINT)  # a terminal sends it to both
            receiver.signal(signal.SIGINT)
            for program in (sender, receiver):
                code, said = program.end()
                assert (code, "Traceback" in said) == (INTERRUPTED, False), said
                assert "interrupted" in said
    frames, fps = read_clip(out)
    shown, sent = json.loads(theirs.read_text()), json.loads(ours.read_text())
    assert fps == 25
    assert len(frames) == shown["recorded_frames"] > 10
    assert sent["frames_sent"] > 10


def test_a_sender_that_dies_is_missed(tmp_path: Path) -> None:
    out, report = tmp_path / "o.mp4", tmp_path / "r.json"
    hurry = (
        "import functools, shared.call.loop as c\n"
        "c.Silence = functools.partial(c.Silence, silent_after=2.5, dead_after=4.0)"
    )
    listen = ("--listen", "127.0.0.1:0", "--out", out, "--report", report)
    with Program("receiver", *listen, before=hurry) as receiver:
        with Program("sender", "--peer", receiver.join_url(), "--source", "sample", "--framing", "none") as sender:
            wait_for_frames(out.with_suffix(".part.mp4"))
            sender.signal(signal.SIGKILL)
            sender.end()
        code, said = receiver.end()
    assert code == FAILED
    assert "Traceback" not in said
    assert "nothing heard from the sender" in said
    assert "python -m receiver: the other side has been silent" in said
    assert len(read_clip(out)[0]) == json.loads(report.read_text())["recorded_frames"] > 10
    assert "silent" in json.loads(report.read_text())["ended"]
