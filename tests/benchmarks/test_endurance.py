"""The endurance command: each condition in small form over real WebRTC, and what it makes of what it saw."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from call_examples import FPS, SIDE, ColourEngine, make_basis, picture

from benchmarks import endurance, endurance_resumed
from benchmarks.endurance import parse, relayed, table
from benchmarks.endurance_resumed import Death, Deaths, deaths
from benchmarks.endurance_rows import Process, Row, outcome, rows
from benchmarks.line import Bursts, Conditions
from benchmarks.progress import Progress
from benchmarks.relay import Relay
from receiver.decoder import CallDecoder
from receiver.upscale import Bicubic
from sender.capture import Capture, Frame
from sender.encoder import CallEncoder, EncoderSettings
from sender.refresh import EveryN, First
from shared.models.registry import wire_hash
from shared.signalling.hello import Hello

NOTHING = Process(None, None)


class Turning(Capture):
    """A head that turns from side to side."""

    kind, fps = "file", FPS

    def __init__(self, seconds: float) -> None:
        self._count = round(seconds * FPS)

    def __iter__(self) -> Iterator[Frame]:
        for n in range(self._count):
            yield n / FPS, picture(n % 40, 1)

    def close(self) -> None:
        pass


class SmallBench:
    """As `endurance.Bench`, with the colour engine."""

    seed = 3
    hello = Hello("compact", wire_hash("compact"), "sender", "file", FPS, 4, SIDE)
    frames = Turning

    def outgoing(self) -> CallEncoder:
        return CallEncoder(EncoderSettings(FPS, 5, SIDE, "max", "none"), ColourEngine(), make_basis(), EveryN(20))

    def incoming(self) -> CallDecoder:
        return CallDecoder(ColourEngine(), make_basis(), Bicubic(), FPS)


async def _stalled(relay: Relay) -> None:
    await asyncio.sleep(0.3)
    relay.stall(0.6)


async def _fallen(relay: Relay) -> None:
    await asyncio.sleep(0.3)
    relay.change(Conditions(8_000, 0.02))
    await asyncio.sleep(0.6)
    relay.change(Conditions(64_000, 0.02))


LINK = Conditions(delay=0.02)
SMALL = [
    Row("loss", 1.5, replace(LINK, loss=0.3)),
    Row("bursts", 1.5, replace(LINK, bursts=Bursts(0.5, 0.4, steady=True))),
    Row("stall", 1.5, LINK, _stalled),
    Row("16 kbit/s", 1.5, Conditions(16_000, 0.02)),
    Row("8 kbit/s", 1.5, Conditions(8_000, 0.02)),
    Row("fall", 1.5, Conditions(64_000, 0.02), _fallen),
    Row("disorder", 1.5, replace(LINK, duplicate=0.3, reorder=0.4, held_up=0.3)),
    Row("long", 1.5, Conditions(delay=0.3)),
]


@pytest.mark.parametrize("row", SMALL, ids=lambda row: row.name.replace(" kbit/s", "k"))
async def test_a_call_survives(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.ifaddr.get_adapters", list)  # one path only: the relay's
    result = await relayed(SmallBench(), row)  # type: ignore[arg-type]
    assert result["survived"], result
    assert result["malformed"] == result["drawn_from_a_source_not_held"] == 0
    assert result["sources_held"] >= 1
    assert 0 < result["shown_on_time"] <= 1
    assert result["bytes_out"] > 0 and result["bytes_back"] > 0


def test_what_a_row_says_of_a_call() -> None:
    shown = [10.0 + n / 10 for n in range(50)] + [16.0 + n / 10 for n in range(40)]
    row = outcome("x", shown, 10.0, 20.0, 10.0, (7, 8), (NOTHING, NOTHING), "")
    assert row["survived"]
    assert (row["shown_on_time"], row["longest_freeze_s"]) == (0.9, 1.1)
    assert (row["bytes_out"], row["bytes_back"], row["memory_mb"]) == (7, 8, None)


@pytest.mark.parametrize(("shown", "why"), [([], ""), ([10.0, 11.0], ""), ([19.0], "the link broke")])
def test_a_call_that_ends_or_stands_still_has_not_survived(shown: list[float], why: str) -> None:
    row: dict[str, Any] = outcome("x", shown, 10.0, 20.0, 10.0, (0, 0), (NOTHING, NOTHING), why)
    assert not row["survived"]
    assert row["longest_freeze_s"] >= 8.0
    assert "NO" in table({"rows": [row]}) and row["ended"] in table({"rows": [row]})


def test_quick_is_shorter_than_ten_minutes_and_leaves_out_only_the_longest() -> None:
    assert sum(row.seconds for row in [*rows(True), *deaths(True)]) < 480  # type: ignore[attr-defined]
    assert {row.name for row in rows(False)} - {row.name for row in rows(True)} == {"10 minutes"}
    assert len(deaths(True)) == len(deaths(False)) == 4
    names = [row.name for row in [*rows(False), *deaths(False)]]  # type: ignore[attr-defined]
    assert len(names) == len(set(names)) and max(map(len, names)) <= 34


def test_this_process_is_measured() -> None:
    now = Process.now()
    assert (now.memory is None) == (now.handles is None)
    if now.memory is not None and now.handles is not None:
        assert now.memory > 1e6 and now.handles > 2


def test_a_name_that_no_row_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert endurance.main(["--only", "no such row"]) == 1
    assert "no row" in capsys.readouterr().err
    assert parse(["--quick"]).quick


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["receiver", "network", "address"])
async def test_a_call_goes_on_after(dies: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endurance_resumed, "_BEFORE_SECONDS", 1.0)
    monkeypatch.setattr(endurance_resumed, "_AFTER_SECONDS", 1.0)
    monkeypatch.setattr("shared.signalling.reconnect.QUIET_SECONDS", 1.0)
    monkeypatch.setattr(endurance, "LOOKED_AHEAD", 1.0)
    bench = endurance.Bench(parse([]), Progress(1.0))
    death = Death("x", dies, 2.0)
    row = await Deaths(
        death, bench.settings, bench.hello, tmp_path, lambda: bench.outgoing(First()), bench.frames
    ).run()
    assert row["survived"], row
    assert row["back_after_s"] > 0
    assert row["sources_sent_to_resume"] == (1 if dies == "receiver" else 0)
