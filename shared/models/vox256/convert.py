"""A published checkpoint to the files that the engine loads: networks with our names checked, and a plain codec basis.

What is read is the mapping that `torch.load(weights_only=True)` gives: `kp_detector`, `he_estimator` and `generator`,
each a state dict, among others (optimisers, discriminator, epoch) that are left out. Nothing is rounded: in half
precision the keypoints would be off by more than the 1e-4 that published checkpoints are held to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from shared.codec.motion_basis import plain_basis
from shared.models.stored_weights import Converted
from shared.models.vox256.blocks import absent_norms
from shared.models.vox256.generator import Generator
from shared.models.vox256.motion import KEYPOINTS, KeypointDetector, PoseEstimator

NAMES = ("vox256", "adasr")
PARTS: dict[str, type[nn.Module]] = {
    "kp_detector": KeypointDetector,
    "he_estimator": PoseEstimator,
    "generator": Generator,
}
_ENCODER = ("first.", "down_blocks.", "resblocks_3d.", "third.")
"""Of the generator: where AdaSR-TalkingHead may lack norms."""
_LISTED = 3


def motion_file(name: str) -> str:
    """File in the user's store with keypoint detector and pose estimator of `vox256` or `adasr`."""
    return f"{name}_motion.safetensors"


def generator_file(name: str) -> str:
    """File in the user's store with the generator."""
    return f"{name}_generator.safetensors"


def basis_file(name: str) -> str:
    """File in the user's store with basis and tables of the motion codec."""
    return f"{name}_basis.safetensors"


def converted(checkpoint: Mapping[str, Any], name: str | None = None) -> Converted:
    """A checkpoint's networks by file name, float32, and a basis for its motions.

    name: one of NAMES, where it is known. Without it a checkpoint whose generator lacks norms is `adasr`, any other
    `vox256`: the two are otherwise the same, down to the last shape. Raises ValueError with what the checkpoint is
    instead, or with the first tensors that differ.
    """
    if name not in (None, *NAMES):
        raise ValueError(f"{name!r} is none of {', '.join(NAMES)}")
    _require_parts(checkpoint)
    states = {part: _state(checkpoint, part) for part in PARTS}
    _refuse_relatives(states["kp_detector"], states["generator"])
    lacking = []
    for part, network in PARTS.items():
        with torch.device("meta"):
            blank = network()
        states[part], absent = _checked(blank, states[part], part, may_lack=_ENCODER if part == "generator" else ())
        lacking += absent
    if lacking and name == "vox256":
        raise ValueError(
            f"the generator of this checkpoint lacks {len(lacking)} norms, such as {lacking[0]}, which vox256 has: it "
            "may be AdaSR-TalkingHead's (adasr)"
        )
    name = name or ("adasr" if lacking else "vox256")
    motion = {
        f"{part}.{key}": tensor for part in ("kp_detector", "he_estimator") for key, tensor in states[part].items()
    }
    basis = plain_basis(KEYPOINTS)
    tables = {field.name: torch.from_numpy(getattr(basis, field.name)) for field in fields(basis)}
    return Converted(
        name, {motion_file(name): motion, generator_file(name): states["generator"], basis_file(name): tables}
    )


def _require_parts(checkpoint: Mapping[str, Any]) -> None:
    """Raises ValueError for a checkpoint that lacks one of the networks."""
    missing = [part for part in PARTS if not isinstance(checkpoint.get(part), Mapping)]
    if not missing:
        return
    found = ", ".join(sorted(map(str, checkpoint))[:_LISTED]) or "nothing"
    if missing == ["he_estimator"]:
        raise ValueError(
            "this checkpoint has no he_estimator: it is of an earlier kind (First Order Motion Model and its like), "
            "not of face-vid2vid"
        )
    raise ValueError(
        f"this is no face-vid2vid checkpoint: it has no {', '.join(missing)} (it holds {found}, ...). The published "
        "file is a dict with kp_detector, he_estimator and generator"
    )


def _state(checkpoint: Mapping[str, Any], part: str) -> dict[str, Tensor]:
    """Tensors of a network, without the prefix that training on several GPUs leaves."""
    state = {}
    for key, value in checkpoint[part].items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{part} of this checkpoint holds a {type(value).__name__} at {key!r} where a tensor belongs"
            )
        state[key.removeprefix("module.")] = value
    return state


def _refuse_relatives(kp_detector: Collection[str], generator: Collection[str]) -> None:
    """Raises ValueError for networks of the same names that are others."""
    if any(key.startswith("jacobian") for key in kp_detector):
        raise ValueError(
            "the keypoint detector of this checkpoint has a Jacobian: it is a First Order Motion Model's, or was "
            "trained with estimate_jacobian; this engine moves keypoints without one"
        )
    if any(key.startswith(("resblocks_2d.", "up_blocks.")) for key in generator):
        raise ValueError(
            "the generator of this checkpoint is the one without SPADE (OcclusionAwareGenerator): take a checkpoint "
            'trained with "--gen spade", such as Vox-256-New'
        )


def _checked(
    network: nn.Module, state: dict[str, Tensor], part: str, may_lack: tuple[str, ...]
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors as the network names them, float32, and the norms that are absent from it.

    Norms may be absent as a whole where their names begin with one of `may_lack`.
    """
    absent = [norm for norm in absent_norms(network, state) if norm.startswith(may_lack)]
    wanted = {
        key: tuple(value.shape) for key, value in network.state_dict().items() if key.rpartition(".")[0] not in absent
    }
    uncounted = [key for key in wanted.keys() - state.keys() if key.endswith(".num_batches_tracked")]
    state = state | {key: torch.zeros((), dtype=torch.int64) for key in uncounted}
    found = {key: tuple(value.shape) for key, value in state.items()}
    odd = [key for key in [*wanted, *sorted(found.keys() - wanted.keys())] if wanted.get(key) != found.get(key)]
    if odd:
        first = "; ".join(
            f"{key} is {_shape(found.get(key))}, expected {_shape(wanted.get(key))}" for key in odd[:_LISTED]
        )
        raise ValueError(f"the {part} of this checkpoint is another network: {len(odd)} tensors differ ({first})")
    return {key: _plain(state[key]) for key in wanted}, absent


def _plain(tensor: Tensor) -> Tensor:
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().contiguous().clone()


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
