"""The fuzzer: it finds what is wrong with parsers that are made wrong here, and says how."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.fuzz import Fault, Outcome, attack, main
from benchmarks.fuzz_targets import Target
from benchmarks.mutation import Mutator


def plain(parse: Callable[[bytes], object], memory: int = 1 << 20) -> Target:
    return Target("plain", (b"some bytes",), parse, (ValueError,), 100, memory, 1.0)


def test_the_same_seed_gives_the_same_inputs() -> None:
    def inputs(seed: str) -> list[bytes]:
        mutator = Mutator(seed, (b"one message", b"another one"), 64, (b"token",))
        return [mutator.next() for _ in range(300)]

    assert inputs("a") == inputs("a") != inputs("b")
    assert max(map(len, inputs("a"))) <= 64
    assert any(b"token" in each for each in inputs("a"))


def test_a_parser_with_an_error_of_another_kind_is_found() -> None:
    def parse(data: bytes) -> object:
        return data[0] / (len(data) - 3)  # IndexError, ZeroDivisionError

    with pytest.raises(Fault, match=r"plain: the input [0-9a-f]* raised (IndexError|ZeroDivisionError)"):
        attack(plain(parse), "seed", 100_000)


def test_a_slow_parser_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.01)

    def parse(data: bytes) -> None:
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass

    with pytest.raises(Fault, match=r"took 0\.\d+ s, 0\.01 s are allowed"):
        attack(plain(parse), "seed", 10)


def test_a_parser_that_allocates_is_found() -> None:
    with pytest.raises(Fault, match=r"allocate \d+ bytes, 1000 are allowed"):
        attack(plain(lambda data: bytes(5000), memory=1000), "seed", 10)


def test_outcomes_add_up() -> None:
    whole = Outcome("x", 10, 4, 6, 2.0, 500, 1.0)
    whole.add(Outcome("x", 5, 5, 0, 1.0, 900, 3.0))
    assert whole == Outcome("x", 15, 9, 6, 2.0, 900, 3.0)


def test_the_command_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fuzz.json"
    assert main(["--inputs", "500", "--only", "sound", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [(row["name"], row["inputs"]) for row in rows] == [("sound", 60)]
    assert rows[0]["accepted"] + rows[0]["refused"] == 60
    assert "sound" in capsys.readouterr().out


def test_an_unknown_parser_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--inputs", "100", "--only", "nothing"]) == 1
    assert "there is no parser 'nothing'; known: bundle, " in capsys.readouterr().err
