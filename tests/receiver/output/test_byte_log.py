"""A recording of bytes that is written beside the call."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from receiver.output.byte_log import CallRecording, TapeWorker
from shared.call.call_file import CallWriter, FiledFrame, FiledMessage, Resumed, Taken, read_call
from shared.signalling.hello import Hello
from shared.transport.link import Channel

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", 25, 4, 64)


async def test_everything_is_written_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "call.pinhole"
    tape = TapeWorker(CallRecording(path, HELLO))
    tape.message(Channel.MOTION, b"a", 50.0)
    tape.shown(3, 2)
    tape.shown(4, 2)
    tape.taken(7)
    tape.resumed(True, 9, 50.25)
    tape.message(Channel.CONTROL, b"b", 50.5)
    await tape.close()
    await tape.close()
    tape.message(Channel.CONTROL, b"after the end", 51.0)
    assert list(read_call(path)[1]) == [
        FiledFrame(0.0, 1, ()), FiledMessage(0.0, Channel.MOTION, b"a"), FiledFrame(0.0, 2, (3, 4)), Taken(0.0, 7),
        Resumed(0.25, True, 9), FiledMessage(0.5, Channel.CONTROL, b"b"),
    ]  # fmt: skip


async def test_a_disk_that_does_not_answer_ends_the_recording_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "call.pinhole"
    recording, answers = CallRecording(path, HELLO), threading.Event()
    write = CallWriter.write

    def slow(file: CallWriter, *what: object) -> None:
        assert answers.wait(60)
        write(file, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(CallWriter, "write", slow)
    tape = TapeWorker(recording, 10_000)
    for n in range(1000):  # 100 kB, and none of them waits for the disk
        tape.message(Channel.MOTION, bytes(100), float(n))
    answers.set()
    with caplog.at_level(logging.WARNING):
        await tape.close()
    assert caplog.text.count("the disk is too slow") == 1
    assert not path.exists()
    kept = [entry for entry in read_call(tmp_path / "call.part.pinhole")[1] if isinstance(entry, FiledMessage)]
    assert len(kept) == 10_000 // 164
