"""What a call opens is closed again, also if there is no call after all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from call_examples import FPS, ColourEngine, make_basis
from memory_link import memory_pair

from receiver import receiving as module
from receiver.output import outputs
from receiver.output.outputs import Sinks
from receiver.output.recorder import RecordError
from receiver.receiving import Place, Receiving
from receiver.settings import ReceiverContext
from receiver.upscale import Bicubic
from shared.call.call_file import read_call
from shared.signalling.hello import SOUND, Hello

HELLO = Hello("compact", "0123456789abcdef", "sender", "camera", FPS, 4, 64, {SOUND: True})


class Closes:
    """A window, a virtual camera or a loudspeaker."""

    latency, queued = 0.0, 1.0

    def __init__(self, *_: object) -> None:
        self.closed = 0
        MADE.append(self)

    def close(self) -> None:
        self.closed += 1

    def played(self) -> list[object]:
        return ["what it played"]


MADE: list[Closes] = []


@pytest.fixture(autouse=True)
def _devices(monkeypatch: pytest.MonkeyPatch) -> None:
    MADE.clear()
    monkeypatch.setattr(outputs, "VirtualCamera", Closes)
    monkeypatch.setattr("receiver.output.speaker.open_speaker", Closes)


def receiving(folder: Path) -> Receiving:
    context = ReceiverContext(ColourEngine(), make_basis(), Bicubic())
    place = Place(record=folder / "call.pinhole", virtual_camera=True, speaker="default")
    return Receiving(context, memory_pair()[0], HELLO, place, lambda text: None)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.parametrize("step", ["Sinks", "listen", "Player"])
async def test_what_was_opened_before_something_failed_is_closed(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise RecordError("out of luck")

    monkeypatch.setattr(module, step, broken)
    with pytest.raises(RecordError, match="out of luck"):
        receiving(tmp_path)
    assert len(MADE) == {"Sinks": 0, "listen": 1, "Player": 2}[step]
    assert all(each.closed == 1 for each in MADE)
    assert files(tmp_path) == []


async def test_what_is_heard_here_is_kept_from_what_is_sent(tmp_path: Path) -> None:
    asked: list[object] = []

    class OwnSide:
        can_be_muted = True

        def cancel_echo(self, played: Any, say: Any) -> None:
            asked.extend(played())

    context = ReceiverContext(ColourEngine(), make_basis(), Bicubic())
    for place in (Place(), Place(speaker="default")):
        assert asked == []
        await Receiving(context, memory_pair()[0], HELLO, place, lambda text: None, OwnSide()).close("the end")  # type: ignore[arg-type]
    assert asked == ["what it played"]


async def test_a_recording_is_ended_although_the_pictures_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Sinks) -> None:
        raise RecordError("the film is stuck")

    part = receiving(tmp_path)
    monkeypatch.setattr(Sinks, "close", broken)
    with pytest.raises(RecordError, match="the film is stuck"):
        await part.close("the end")
    speaker = MADE[1]
    assert speaker.closed == 1  # although it never played
    assert len(list(read_call(tmp_path / "call.pinhole")[1])) == 1
