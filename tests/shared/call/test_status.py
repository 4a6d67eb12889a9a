from __future__ import annotations

import io

from shared.call.report import StatusLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_is_a_line_every_ten_seconds() -> None:
    stream = io.StringIO()
    line = StatusLine(stream)
    for tenth in range(301):
        line.show(f"{tenth // 10} s", 100 + tenth / 10)
    assert stream.getvalue().splitlines() == ["0 s", "10 s", "20 s", "30 s"]


def test_on_a_terminal_one_line_is_rewritten_and_what_is_said_has_its_own() -> None:
    stream = Terminal()
    line = StatusLine(stream)
    line.show("going", 100.0)
    line.show("gone", 101.0)
    line.say("over")
    assert stream.getvalue() == "\rgoing\rgone \r" + " " * 4 + "\rover\n"
