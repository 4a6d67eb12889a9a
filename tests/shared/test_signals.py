"""What signals do to programs. Processes of their own wait for them where the modules of a real one would load."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.loading import INTERRUPTED
from shared.signals import Ending, ended_by_signals, interrupting, listen, restore

ROOT = Path(__file__).parents[2]
HANGUP = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
ALL = [signal.SIGINT, signal.SIGTERM, *HANGUP]
MODULES = ("sender", "receiver", "weights", "shared.rendezvous.server", "benchmarks.speed", "weights.training.pack")


def started(
    *command: str, ignored: tuple[signal.Signals, ...] = (), modules: Path | None = None
) -> subprocess.Popen[str]:
    """A Python program that has printed its first line; `modules`: a folder where Python looks for modules first."""

    def ignore() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=ignore, env=None if modules is None else {"PYTHONPATH": str(modules)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.stderr.read() if process.stderr else ""
    return process


@pytest.mark.parametrize(
    ("module", "number"), [*zip(MODULES, itertools.cycle(ALL)), *(("sender", number) for number in ALL[1:])]
)
def test_a_program_that_is_loading_ends_with_one_line(module: str, number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("import time\nprint('ready', flush=True)\nwhile True:\n    time.sleep(0.01)\n")
    with started("-m", module, "--help", modules=tmp_path) as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (INTERRUPTED, f"\npython -m {module}: interrupted\n")


TIDIES = """
import itertools, time
from shared.signals import Ending
moments = itertools.count()  # each signal comes a second after the one before
with Ending(lambda: print("asked", flush=True), clock=lambda: next(moments)):
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("first", ALL)
def test_the_second_ctrl_c_ends_at_once(first: signal.Signals) -> None:
    with started("-c", TIDIES) as process:
        assert process.stdout is not None
        process.send_signal(first)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        if first in HANGUP:  # which is not pressed
            process.send_signal(signal.SIGTERM)
        rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest, said) == (INTERRUPTED, "", "")


LOOP = """
import asyncio, time
from shared.signals import interruptible
async def call():
    try:
        print("ready", flush=True)
        end = time.monotonic() + 0.2
        while time.monotonic() < end:  # the loop is busy
            pass
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0)
        print("goodbye", flush=True)
print(asyncio.run(interruptible(call())), flush=True)
"""


@pytest.mark.parametrize("number", ALL)
def test_what_runs_in_a_loop_ends_in_order(number: signal.Signals) -> None:
    with started("-c", LOOP) as process:
        process.send_signal(number)
        rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest, said) == (0, "goodbye\nNone\n", "")


STUCK = """
import asyncio, itertools, time
from shared import signals
from shared.signals import interruptible
signals.SAME_SECONDS = 0.0
async def stuck():
    print("ready", flush=True)
    while True:
        time.sleep(0.01)
asyncio.run(interruptible(stuck()))
"""


def test_the_second_ctrl_c_ends_a_loop_that_is_stuck() -> None:
    with started("-c", STUCK) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == INTERRUPTED


@pytest.mark.skipif(not HANGUP, reason="this system has no SIGHUP")
def test_nohup_holds_and_a_closed_terminal_that_says_so_twice_is_one_signal() -> None:
    with started("-c", TIDIES, ignored=(signal.SIGHUP, signal.SIGINT)) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)  # ignored only as a shell does it for what runs in the background
        assert process.stdout.readline() == "asked\n"
        process.kill()
    asked: list[str] = []
    with Ending(lambda: asked.append("asked"), clock=itertools.count().__next__):
        for _ in range(3):
            signal.raise_signal(signal.SIGHUP)
    assert asked == ["asked"]


def test_signals_that_are_closer_than_a_person_presses_are_one() -> None:
    asked: list[str] = []
    moments = iter([5.0, 5.05, 5.2])
    with Ending(lambda: asked.append("first"), lambda: asked.append("second"), lambda: next(moments)):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert asked == ["first"]
        signal.raise_signal(signal.SIGTERM)
    assert asked == ["first", "second"]


def test_an_inner_block_counts_for_the_outer_one() -> None:
    asked: list[str] = []
    moments = itertools.count()
    before = signal.getsignal(signal.SIGTERM)
    with Ending(lambda: asked.append("outer"), lambda: asked.append("outer again"), lambda: next(moments)):
        with Ending(lambda: asked.append("inner"), clock=lambda: next(moments)):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert asked == ["inner", "outer again"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_main_function_gives_130_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @ended_by_signals("weights.weighing", "nothing is weighed")
    def main(number: signal.Signals | None) -> None:
        if number is not None:
            signal.raise_signal(number)

    assert main(None) == 0
    assert capsys.readouterr().err == ""
    for number in ALL:
        assert main(number) == INTERRUPTED
        assert capsys.readouterr().err == "\npython -m weights.weighing: nothing is weighed\n"


def test_handlers_come_back() -> None:
    before = {number: signal.getsignal(number) for number in ALL}
    kept = listen(lambda number, frame: None)
    assert set(kept) == {number for number in ALL if number not in HANGUP or before[number] is not signal.SIG_IGN}
    restore(kept)
    with pytest.raises(KeyboardInterrupt), interrupting():
        signal.raise_signal(signal.SIGTERM)
    assert {number: signal.getsignal(number) for number in ALL} == before
