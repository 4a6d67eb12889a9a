"""The bandwidth command on a second of the sample, as a module and as a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bandwidth import CONSENT_BYTES_PER_SECOND, main, verdict, wire_bytes
from benchmarks.loopback import Message
from shared.link.base import Channel

ROOT = Path(__file__).parents[2]


def test_figures_of_a_second_of_the_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.json"
    assert main(["--freq", "15", "--seconds", "1", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    ours = report["pinhole"]
    assert (report["frames"], ours["sources"]) == (25, 2)
    assert ours["payload_bytes"] == sum(ours["by_kind"][kind]["bytes"] for kind in ("motion", "pictures", "control"))
    assert ours["wire_bytes_out"] > ours["payload_bytes"]
    assert ours["wire_bytes_back"] > ours["by_kind"]["control_back"]["bytes"]
    assert ours["by_kind"]["motion"]["messages"] >= 5
    floor, good = report["x264_floor"], report["x264_crf23"]
    assert floor["payload_bytes"] < good["payload_bytes"]
    assert floor["wire_bytes_out"] == floor["payload_bytes"] + 25 * 69  # a packet a frame
    for codec in (ours, floor, good):
        assert 10 < codec["psnr"] < 60
        assert 0 < codec["ms_ssim"] <= 1
    assert good["psnr"] > 33
    printed = capsys.readouterr().out
    assert "x264 CRF 51 (floor)" in printed
    assert "WORSE" in printed  # CRF 23 looks better than anything drawn, and that is said


def test_wire_bytes_by_hand() -> None:
    messages = [
        Message(True, Channel.MOTION, 30),  # 93 + 32, a SACK back
        Message(True, Channel.PICTURES, 1200),  # two packets: 93 + 1160 and 93 + 40, two SACKs back
        Message(False, Channel.CONTROL, 10),  # 93 + 12, a SACK out
    ]
    out, back = wire_bytes(messages, 10)
    consent = 10 * CONSENT_BYTES_PER_SECOND
    assert out == 125 + 1253 + 133 + 93 + consent
    assert back == 105 + 3 * 93 + consent


def test_losses_are_said_plainly() -> None:
    def codec(payload: float, psnr: float) -> dict[str, Any]:
        return {"payload_kbps": payload, "wire_kbps_out": 2 * payload, "psnr": psnr, "ms_ssim": 0.9}

    (text,) = verdict(codec(10, 22), codec(5, 25), "x264's floor")
    assert "0.50 times Pinhole's payload" in text
    assert "3.00 dB WORSE" in text
    (text,) = verdict(codec(10, 28), codec(5, 25), "x264's floor")
    assert "3.00 dB better" in text


def test_runs_as_a_script(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "bandwidth.py"), "--freq", "15", "--seconds", "0.2"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "kbit/s" in result.stdout


def test_a_missing_video_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--video", str(tmp_path / "none.mp4")]) == 1
    assert "there is no file" in capsys.readouterr().err
