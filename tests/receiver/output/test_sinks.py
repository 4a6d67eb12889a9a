from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from call_examples import picture, read_clip

from receiver.output import outputs as module
from receiver.output.outputs import Sinks
from receiver.output.recorder import Recorder, RecordError
from shared.desktop import DisplayError

YAWS = (-50.0, -25.0, 0.0, 25.0, 50.0)


def yaws(path: Path) -> list[float]:
    """The yaw that each recorded picture shows, to the nearest of YAWS."""
    read = [(float(p[..., 0].mean()) - 128) / 2 for p in read_clip(path)[0]]
    return [min(YAWS, key=lambda yaw: abs(yaw - value)) for value in read]


async def test_holes_in_the_numbers_repeat_a_picture(tmp_path: Path) -> None:
    sinks = Sinks(tmp_path / "o.mp4", False, 25, 64)
    for number, yaw in ((0, -50), (1, -25), (4, 0), (5, 25)):
        assert await sinks.show(number, picture(yaw), "")
    await sinks.close()
    assert sinks.recorded == 6
    assert yaws(tmp_path / "o.mp4") == [-50, -25, 0, 0, 0, 25]


async def test_the_recording_begins_when_the_call_does(tmp_path: Path) -> None:
    sinks = Sinks(tmp_path / "o.mp4", False, 25, 64)
    assert await sinks.show(0, None, "")  # nothing to draw from yet
    await sinks.show(3, picture(25), "")
    await sinks.close()
    assert yaws(tmp_path / "o.mp4") == [25] * 4


async def test_no_picture_holds_the_last_one(tmp_path: Path) -> None:
    sinks = Sinks(tmp_path / "o.mp4", False, 25, 64)
    await sinks.show(0, picture(50), "")
    for number in (1, 2, 3):
        await sinks.show(number, None, "no face")
    await sinks.close()
    assert yaws(tmp_path / "o.mp4") == [50] * 4


async def test_wild_numbers_cannot_fill_the_disk(tmp_path: Path) -> None:
    sinks = Sinks(tmp_path / "o.mp4", False, 5, 64)
    await sinks.show(0, picture(0), "")
    await sinks.show(1_000_000, picture(25), "")
    await sinks.show(3, picture(50), "")
    await sinks.close()
    assert sinks.recorded == 1 + 50 + 1


async def test_nothing_asked_for_takes_everything() -> None:
    sinks = Sinks(None, False, 25, 64)
    assert await sinks.show(0, picture(0), "")
    assert await sinks.idle("")
    assert sinks.recorded == 0
    await sinks.close()


class FakeWindow:
    """A window that the user closes after two pictures."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.pumped = 0

    touched = False

    def composed(self, rgb: np.ndarray, status: str) -> str:
        return status

    def put(self, canvas: str) -> bool:
        self.seen.append(canvas)
        return len(self.seen) < 3

    def pump(self) -> bool:
        self.pumped += 1
        return True

    def close(self) -> None:
        self.seen.append("closed")


async def test_a_closed_window_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    window = FakeWindow()
    marks: list[str] = []
    monkeypatch.setattr(module, "CallWindow", lambda mark: marks.append(mark) or window)
    sinks = Sinks(None, True, 25, 64, "file")
    assert marks == ["reconstructed from a file, not a camera"]
    assert await sinks.idle("nothing to show yet")
    assert await sinks.show(0, picture(0), "a")
    monkeypatch.setattr(module, "_IDLE_SECONDS", -1.0)
    assert await sinks.idle("b")
    assert not await sinks.show(1, picture(0), "c")
    await sinks.close()
    assert window.seen == ["a", "b", "c", "closed"]


async def test_a_window_is_composed_once_for_a_picture_and_by_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    composing: list[threading.Thread] = []

    class Watched(FakeWindow):
        def composed(self, rgb: np.ndarray, status: str) -> str:
            composing.append(threading.current_thread())
            return status

        def put(self, canvas: str) -> bool:
            self.seen.append(canvas)
            return True

    window = Watched()
    monkeypatch.setattr(module, "CallWindow", lambda mark: window)
    monkeypatch.setattr(module, "_IDLE_SECONDS", float("inf"))
    sinks = Sinks(None, True, 25, 64)
    for number in range(5):
        assert await sinks.show(number, picture(0), str(number))
        assert await sinks.idle("nothing new")
        assert await sinks.idle("nothing new")
    assert (window.seen, window.pumped) == (["0", "1", "2", "3", "4"], 10)
    assert threading.current_thread() not in composing and len(composing) == 5
    window.touched = True  # a key: what it did is to be seen at once
    assert await sinks.idle("a key")
    assert window.seen[-1] == "a key"
    await sinks.close()


async def test_a_recording_that_is_slow_holds_up_who_brings_frames_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RECORDS_WAITING", 2)
    sinks, answers, began = Sinks(tmp_path / "o.mp4", False, 25, 64), threading.Event(), threading.Event()
    write = Recorder.write

    def slow(recorder: Recorder, rgb: np.ndarray) -> None:
        began.set()
        assert answers.wait(60)
        write(recorder, rgb)

    monkeypatch.setattr(Recorder, "write", slow)
    for number in range(2):
        await sinks.show(number, picture(YAWS[number]), "")
    assert began.wait(60)
    third = asyncio.ensure_future(sinks.show(2, picture(YAWS[2]), ""))
    await asyncio.sleep(0.01)
    assert not third.done()
    answers.set()
    assert await third
    await sinks.close()
    assert yaws(tmp_path / "o.mp4") == list(YAWS[:3])


def test_what_cannot_be_opened_is_refused_before_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecordError, match="does not exist"):
        Sinks.check(tmp_path / "missing" / "o.mp4", False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(DisplayError):
        Sinks.check(None, True)
    Sinks.check(tmp_path / "o.mp4", False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", [(), ("wav",), ("film", "window"), ("wav", "film", "camera", "window")])
async def test_all_is_closed_whatever_of_it_fails(broken: tuple[str, ...]) -> None:
    closed: list[str] = []

    class Closes:
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)
            if self.name in broken:
                raise RecordError(f"the {self.name} is stuck")

    class Sound:
        def finish(self) -> np.ndarray:
            raise RecordError("the sound is stuck")

    sinks = Sinks(None, False, 25, 64)
    sinks._wav, sinks._recorder, sinks._camera, sinks._window = map(Closes, ("wav", "film", "camera", "window"))  # type: ignore[assignment]
    sinks.sound = Sound()  # type: ignore[assignment]
    if broken:
        with pytest.raises(RecordError, match=f"the {broken[0]} is stuck"):
            await sinks.close()
    else:
        await sinks.close()
    assert closed == ["wav", "film", "camera", "window"]
