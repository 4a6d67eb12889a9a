"""Who may come in and who may come back: the passes of a receiver, kept in a file if it is given one."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from receiver.call import ReceiverSettings
from shared.session.answering import Lines
from shared.session.exchange import Answer
from shared.session.hello import Hello
from shared.session.passes import Passes
from shared.session.state import ReceiverState, read_receiver, write_state

logger = logging.getLogger(__name__)


class Guests:
    """The passes, the calls that can be resumed, and the file."""

    def __init__(self, settings: ReceiverSettings, answer: Callable[[Hello, str, str], Awaitable[Answer]]) -> None:
        """`answer` takes a call of before this program was started again: hello, SDP and pass of its sender.

        Raises StateError and PrivateFileError.
        """
        self._file = settings.state
        kept = (None if self._file is None else read_receiver(self._file)) or ReceiverState()
        more = settings.keep or settings.calls > 1
        self.passes = Passes(kept.invitation, more=more, invited_at=kept.invited_at)
        self.lines = Lines(self.passes, settings.ice, lambda: self._refresh())
        self.lines.restore(kept.calls, answer)
        self.room = kept.room
        """Secret of the room to wait in; None: a new one."""
        self.port = settings.port or kept.port or 0
        """To listen on: where any will do, the one of before."""
        self._refresh: Callable[[], None] = lambda: None
        self._invite: Callable[[], None] = lambda: None
        self._invited: str | None = None
        """The invitation that was told; none yet if None, that there is no more if empty."""
        self.passes.on_change = self._changed

    def open(
        self,
        invite: Callable[[], None],
        *,
        room: str | None = None,
        port: int | None = None,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        """The door is open: tells it with `invite`, now and whenever there is a new link, or no link any more.

        `refresh` is called while nothing is heard from a caller: this machine's network may have been gone. Raises
        PrivateFileError.
        """
        self._invite, self._refresh, self.room = invite, refresh, room
        self.port = port or 0
        self._changed()

    def _changed(self) -> None:
        passes = self.passes
        state = ReceiverState(passes.invitation, passes.calls, self.room, self.port or None, passes.invited_at)
        if self._file is not None:
            try:
                write_state(self._file, state)
            except OSError as error:
                if self._invited is None:
                    raise
                logger.warning("the call could not be resumed if this program were started again: %s", error)
        if (passes.invitation or "") != self._invited:
            self._invited = passes.invitation or ""
            self._invite()
