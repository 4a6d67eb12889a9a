"""docs/api.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import pinhole
from pinhole import Codec
from receiver.settings import ReceiverContext
from receiver.upscale import Bicubic
from shared.models.base_fusion import BasePicture
from shared.models.engine import Engine, Picture, Weighted
from shared.models.registry import load_basis
from shared.motion import FloatArray, Motion


class Painter:
    """An engine that reads motion, and draws the newest source as it is: drawing takes its time."""

    name, precision = "compact", "fp32"

    def __init__(self, engine: Engine) -> None:
        self.size, self.keypoint_count, self.extract = engine.size, engine.keypoint_count, engine.extract

    def prepare(self, picture: Picture, canonical: FloatArray, motion: Motion) -> Picture:
        return picture

    def draw(self, sources: Weighted, driving: Motion, base: BasePicture | None = None) -> Picture:
        drawn: Picture = sources[-1][0]
        return drawn


DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_its_examples_run(
    engine: Engine, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    painter = Painter(engine)
    codec = Codec(ReceiverContext(painter, load_basis("compact"), Bicubic()), painter)
    monkeypatch.setattr(Codec, "load", lambda *_, **__: codec)
    monkeypatch.chdir(tmp_path)
    Path("talk.mp4").symlink_to(clip)
    names: dict[str, Any] = {}
    for example in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL):
        exec(example, names)
    assert re.match(r"\d+ bytes\n0\.00 s \(256, 256, 3\) Motion\(", capsys.readouterr().out)
    assert 45 <= len(names["frames"]) <= 50
    assert names["shown"]


def test_it_names_all_there_is() -> None:
    missing = [name for name in pinhole.__all__ if name not in DOCUMENT]
    assert not missing
    for kind, word in ((pinhole.Codec, "codec"), (pinhole.Encoder, "encoder"), (pinhole.Decoder, "decoder")):
        public = [name for name in vars(kind) if not name.startswith("_") and name != "load"]
        assert [name for name in public if f"`{word}.{name}" not in DOCUMENT] == []
