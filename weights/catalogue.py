"""Writes `catalogue.json` from the weights files beside it: `python -m weights.catalogue`, after a training run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_FOLDER = Path(__file__).parent
_LICENCE = "research and evaluation only (see the model card)"
_FILES = {
    "compact-motion": ("compact_motion.safetensors", "compact engine: motion network"),
    "compact-generator": ("compact_generator.safetensors", "compact engine: source encoder, dense motion, generator"),
    "standard-generator": ("standard_generator.safetensors", "compact engine: ten times the generator, for a GPU"),
    "compact-basis": ("compact_motion_basis.safetensors", "compact engine: expression basis and probability tables"),
    "compact-appearance": ("compact_appearance.safetensors", "what tells one face from another in a call"),
    "expression": ("expression.safetensors", "performed expressions: label and face to a trajectory of motion"),
    "compact-upscaler": (
        "compact_upscaler.safetensors",
        "compact upscaler: ESRGAN x4 for sources as the wire codes them",
    ),
    "facenhance": ("facenhance.safetensors", "FacEnhance: 64 px of a base layer to 128 px, by diffusion"),
}


def describe() -> dict[str, dict[str, object]]:
    """Name, SHA-256, size, purpose and licence of every embedded file; not all of them need be there."""
    entries: dict[str, dict[str, object]] = {}
    for name, (file, purpose) in _FILES.items():
        if not (_FOLDER / file).exists():
            continue
        data = (_FOLDER / file).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        entries[name] = {"file": file, "sha256": digest, "bytes": len(data), "purpose": purpose, "licence": _LICENCE}
    return entries


if __name__ == "__main__":
    (_FOLDER / "catalogue.json").write_text(json.dumps(describe(), indent=2) + "\n", encoding="utf-8")
