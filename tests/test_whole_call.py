"""Two processes as a user runs them, over real WebRTC on this machine's own addresses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from call_examples import CLIP_FRAMES, Program, psnr, read_clip

from shared.models.engine import Picture

FIGURES = {
    "duration_s", "payload_bytes", "wire_bytes_out", "wire_bytes_in", "sources_sent", "fps", "delay_ms",
}  # fmt: skip


def test_a_clip_becomes_a_moving_person_at_the_other_end(clip: Path, person: list[Picture], tmp_path: Path) -> None:
    out, theirs, ours = tmp_path / "out.mp4", tmp_path / "r.json", tmp_path / "s.json"
    folders = tmp_path / "anna", tmp_path / "ben"
    receiving = ("--listen", "127.0.0.1:0", "--out", out, "--report", theirs, "--config", folders[0], "--who", "ben",
                 "--precision", "fp32")  # fmt: skip
    sending = ("--source", clip, "--framing", "none", "--report", ours, "--config", folders[1],
               "--precision", "fp32")  # fmt: skip
    with Program("receiver", *receiving) as receiver:
        with Program("sender", "--peer", receiver.join_url(), *sending) as sender:
            code, by_sender = sender.end()
            assert (code, "Traceback" in by_sender) == (0, False), by_sender
        code, by_receiver = receiver.end()
        assert (code, "Traceback" in by_receiver) == (0, False), by_receiver

    words = [re.findall(r"words to each other: (\w+ \w+ \w+ \w+)\.", said) for said in (by_sender, by_receiver)]
    assert words[0] == words[1] and len(words[0]) == 1
    known = [json.loads((folder / "people.json").read_text())["people"] for folder in folders]
    assert [(each["name"], each["calls"]) for people in known for each in people] == [("ben", 1), (None, 1)]

    frames, fps = read_clip(out)
    assert fps == 25
    assert abs(len(frames) - CLIP_FRAMES) <= 0.03 * CLIP_FRAMES
    assert psnr(frames[0], person[0]) > 20
    assert max(np.abs(frame.astype(int) - frames[0]).mean() for frame in frames) > 1

    sent, shown = json.loads(ours.read_text()), json.loads(theirs.read_text())
    for report, frame_count in ((sent, "frames_sent"), (shown, "frames_shown")):
        for part in (report, report["steady"]):
            assert FIGURES | {frame_count} <= set(part)
            assert set(part["delay_ms"]) == {"p50", "p95"}
            assert part["wire_bytes_out"] > 0 and part["wire_bytes_in"] > 0
        assert report["sources_sent"] >= 1 and report["precision"] == "fp32"
        assert report["steady"]["payload_bytes"] < report["payload_bytes"]
        assert report["steady"]["wire_bytes_out"] < report["wire_bytes_out"]
    assert sent["frames_sent"] == shown["frames_received"] == CLIP_FRAMES
    assert sent["payload_bytes"] == shown["payload_bytes"]
    assert abs(sent["wire_bytes_out"] - shown["wire_bytes_in"]) < 0.05 * sent["wire_bytes_out"]
    assert shown["delay_ms"]["p50"] > 0 and sent["delay_ms"]["p50"] > 0
    assert shown["steady"]["delay_ms"]["p95"] > 0 and sent["steady"]["delay_ms"]["p95"] > 0
    assert shown["malformed"] == sent["malformed"] == 0
    assert "ended the call" in sent["ended"] and "ended the call" in shown["ended"]
