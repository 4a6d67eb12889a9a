"""A call with the published networks on a CPU: two processes, weights that follow from their names, few frames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from call_examples import Program, read_clip, write_clip
from vox256_examples import write_store

from shared.models.engine import Picture

FRAMES = 10
MINUTES = 60.0


@pytest.mark.slow
def test_a_call_with_the_published_networks(
    person: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    write_store(tmp_path / "data")
    clip = write_clip(tmp_path / "person.mp4", person[:FRAMES])
    out, theirs, ours = tmp_path / "out.mp4", tmp_path / "r.json", tmp_path / "s.json"
    common = ("--engine", "vox256", "--device", "cpu")
    with Program("receiver", "--listen", "127.0.0.1:0", "--out", out, "--report", theirs, *common) as receiver:
        arguments = ("--peer", receiver.join_url(), "--source", clip, "--framing", "none", "--report", ours, *common)
        with Program("sender", *arguments) as sender:
            code, said = sender.end(10 * MINUTES)
            assert (code, "Traceback" in said) == (0, False), said
            assert "vox256 draws too slowly on a CPU" in said
        code, said = receiver.end(10 * MINUTES)
        assert (code, "Traceback" in said) == (0, False), said
    sent, shown = json.loads(ours.read_text()), json.loads(theirs.read_text())
    assert sent["frames_sent"] == shown["frames_received"] == FRAMES
    assert sent["sources_sent"] >= 1 and shown["malformed"] == sent["malformed"] == 0
    frames, _ = read_clip(out)
    assert frames[0].shape == (256, 256, 3)
    assert max(frame.std() for frame in frames) > 1
