from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from weights.training.stopping import Stop, sole_trainer

WAITING = """
import os, signal, sys, time
from pathlib import Path
from weights.training.stopping import Stop, sole_trainer
with sole_trainer(Path(sys.argv[1])), Stop().listening() as stop:
    print("ready", flush=True)
    while not stop.requested:
        time.sleep(0.01)
    print("saved", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_trainer_in_the_background_saves_and_ends(number: signal.Signals, tmp_path: Path) -> None:
    def in_the_background() -> None:  # as `sh -c 'python ... &'` starts it
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    program = [sys.executable, "-c", WAITING, str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, preexec_fn=in_the_background) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(ValueError, match=f"process {process.pid}"), sole_trainer(tmp_path):
            pass
        process.send_signal(number)
        assert process.stdout.readline() == "saved\n"
        assert process.wait() == 0
    with sole_trainer(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_the_second_signal_interrupts_and_the_handlers_come_back() -> None:
    before, now = signal.getsignal(signal.SIGTERM), iter(range(9))
    with Stop(lambda: next(now)).listening() as stop:
        assert not stop.requested
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
