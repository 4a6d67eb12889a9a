"""How a run of training is ended and kept from being disturbed: signals, and one trainer to a folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.signals import Ending, interrupt

if sys.platform != "win32":
    import fcntl


class Stop:
    """Whether somebody asked for an end: Ctrl-C, SIGTERM, SIGHUP, also where a shell started this in the background."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.requested = False
        self._clock = clock

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Within it the first signal asks for an end, the second one interrupts at once."""
        with Ending(self._ask, interrupt, self._clock):
            yield self

    def _ask(self) -> None:
        self.requested = True


@contextmanager
def sole_trainer(folder: Path) -> Iterator[None]:
    """The folder (it is made) as one's own. Raises ValueError if another trainer is at work there.

    The lock is the operating system's: it ends with the process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise ValueError(
                    f"another trainer (process {file.read().strip() or 'unknown'}) is at work in {folder}: wait for "
                    "it, end it, or take another folder"
                ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
