"""One stage of training: networks, losses, optimisers, moving-average weights, checkpoint."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shared.models.base_fusion import Base
from shared.models.compact import CompactNetwork
from shared.models.dense_motion import GENERATORS, Source, SourceFeatures, Widths
from shared.models.layers import KEYPOINTS, LANDMARKS, MotionTensors, grid, keypoints, warp
from shared.models.motion_network import HIDDEN, MOTION_INPUT, MotionNetwork
from shared.models.precision import NarrowConvolutions, narrow_pays
from weights.training import losses
from weights.training.adversary import Adversary
from weights.training.checkpoint import write_checkpoint, write_weights
from weights.training.data import Batch, Clips, Side
from weights.training.face import MESH
from weights.training.perceptual import Perceptual
from weights.training.stages import Stage

FACE = 128
_FACE_REACH = 3.0
"""Half the side of what the discriminator sees, in units of the head's scale: forehead to chin, ear to ear."""
_SEED_STEPS = 150
"""Steps in which a new discriminator's say grows from nothing."""
Parts = dict[str, Tensor]


class TrainedNetwork(CompactNetwork):
    """The engine's networks and a head that only training uses: all landmarks, so that no expression is overlooked."""

    def __init__(self, widths: Widths = GENERATORS["compact"]) -> None:
        super().__init__(widths)
        self.mesh = nn.Linear(HIDDEN, 2 * MESH)


def motion_input(picture: Tensor) -> Tensor:
    """(B, 3, 256, 256) from (B, 3, S, S): what the motion network reads."""
    if picture.shape[-1] == MOTION_INPUT:
        return picture
    return F.interpolate(picture, size=(MOTION_INPUT, MOTION_INPUT), mode="bilinear", align_corners=False)


def face_of(picture: Tensor, side: Side) -> Tensor:
    """(B, 3, FACE, FACE) the face of each picture, larger than it is or smaller; all of a picture without landmarks.

    What the discriminator sees: nobody looks at the wall, and a quarter of the pixels is a quarter of the price.
    """
    known = side.ok[:, None]
    reach = torch.where(known > 0, _FACE_REACH * side.scale[:, None], torch.ones_like(known))
    g = grid(FACE, picture.device)[None] * reach[:, :, None, None] + (side.translation[:, :2] * known)[:, None, None]
    return warp(picture, g)


class Trainer:
    """Everything that a checkpoint holds."""

    def __init__(
        self, stage: Stage, seed: int, device: torch.device, compiled: bool = False, generator: str = "compact",
        half: bool | None = None, perceptual: Path | None = None,
    ) -> None:  # fmt: skip
        """`generator` is a key of GENERATORS. `half`: whether convolutions compute in bf16; None: where that pays.

        `perceptual`: a file of `weights.training.perceptual`. Raises ValueError if it is another one.
        """
        torch.manual_seed(seed)
        self.stage, self.device, self.generator = stage, device, generator
        self.network = TrainedNetwork(GENERATORS[generator]).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        own = {"motion": stage.motion, "mesh": stage.motion}
        for name, part in self.network.named_children():
            part.requires_grad_(own.get(name, stage.drawing))
        self.network.base.requires_grad_(stage.drawing and stage.base)
        self.network.nearness.requires_grad_(stage.drawing)
        self._trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self._trained, lr=stage.rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
        )
        self.adversary = Adversary(device) if stage.adversary else None
        self.teacher: MotionNetwork | None = None
        self.seed, self.random = seed, torch.Generator(device).manual_seed(seed)
        self.perceptual = None if perceptual is None or not stage.drawing else Perceptual.load(perceptual, device)
        self.average = self._snapshot()
        self.step, self.seconds = 0, 0.0
        self._detail = 0.65 if stage.base else 1.0
        """What detail counts beside truth: where a base shows what is true, it is paid for by errors of pixels."""
        self.half = narrow_pays(device) if half is None else half
        loss = self.drawing_loss if stage.drawing else self.motion_loss
        self._loss = torch.compile(loss) if compiled else loss

    def initialise(self, weights: dict[str, Tensor]) -> list[str]:
        """Copies weights that fit by name and shape; the names of those left at their random start come back."""
        own = self.network.state_dict()
        fitting = {k: v.to(own[k].dtype) for k, v in weights.items() if k in own and own[k].shape == v.shape}
        self.network.load_state_dict(own | fitting)
        self.average = self._snapshot()
        if not self.stage.drawing and "motion.expression.weight" in fitting:
            # the free keypoints have no landmarks: they stay where the generator has learned to expect them
            self.teacher = self._teacher(self.network.motion.state_dict())
        return sorted(set(own) - set(fitting))

    def motion_loss(self, batch: Batch) -> tuple[Tensor, Parts, Tensor]:
        """The loss of the motion network alone, its parts, and nothing drawn."""
        both = motion_input(torch.cat([batch.sources[0].picture, batch.driving.picture]))
        both = both.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            first, hidden, features = self.network.motion.overview(both)
            motion = self.network.motion.detailed(both, first, hidden, features).motion
            mesh = self.network.mesh(hidden).float().view(-1, MESH, 2)
        source, driving = _parted(motion, 2)
        total, parts = self._supervised(source, driving, batch)
        sides = (batch.sources[0], batch.driving)
        truth, ok = (torch.cat([getattr(side, name) for side in sides]) for name in ("mesh", "ok"))
        parts["mesh"] = ((mesh - truth[..., :2]).abs().mean((1, 2)) * ok).mean()
        total = total + 2 * parts["mesh"]
        if self.teacher is not None:
            parts["free"] = self._free(source, driving, both)
            total = total + parts["free"]
        return total, parts, both[:0]

    def drawing_loss(self, batch: Batch) -> tuple[Tensor, Parts, Tensor]:
        """The loss of drawing the driving pictures from the received sources, its parts, and what was drawn."""
        network, true = self.network, batch.driving.picture
        base = batch.base
        seen = [*(s.picture for s in batch.sources), true] + ([] if base is None else [base.true])
        small = motion_input(torch.cat(seen))
        small = small.contiguous(memory_format=torch.channels_last)
        count = len(batch.sources)
        with self._autocast():
            with torch.set_grad_enabled(self.stage.motion):
                motion = network.motion(small)
            *own, driving = _parted(motion, len(seen))[: count + 1]
            given = None if base is None else Base(base.picture, _parted(motion, len(seen))[-1], base.state)
            received = torch.cat(batch.received).contiguous(memory_format=torch.channels_last)
            encoded = zip(*(t.chunk(count) for t in network.encoder(received)), strict=True)
            sources = [Source(SourceFeatures(*e), m.canonical, m) for e, m in zip(encoded, own, strict=True)]
            weights = fading(len(true), count, self.random)
            told = None if given is None else network.base(given, own[0].canonical, driving)
            fused = network.fuse(sources, weights, driving, told)
            drawn = network.drawn(fused, driving, told)
        picture, warped, painted, copied = (t.float() for t in drawn[:4])
        weight = losses.attention(batch.driving.mesh, batch.driving.ok, picture.shape[-1])
        parts = {
            "picture": losses.pyramid(picture, true, weight),
            "gradient": losses.gradient(picture, true, weight),
            "texture": losses.texture(picture, true, weight),
            "warp": losses.pyramid(warped, true, weight),
            # of its own, or the blend shuts the unlearned painting out and it never learns
            "paint": losses.pyramid(painted, true, weight),
            "undecided": losses.undecided(copied),
            "still": losses.still(fused.flows, [s.picture for s in batch.sources], true),
        }
        total = 2 * parts["picture"] + parts["gradient"] + 0.7 * parts["warp"] + 0.5 * parts["paint"]
        total = total + 0.2 * parts["undecided"] + self._detail * parts["texture"] + 2 * parts["still"]
        if self.stage.base:
            parts["squared"] = F.mse_loss(picture, true)
            total = total + 10 * parts["squared"]
        if self.stage.motion:
            more, supervised = self._supervised(own[0], driving, batch)
            total, parts = total + 2 * more, parts | supervised
        else:  # a network that still learns is no judge
            drawn_small = motion_input(picture).contiguous(memory_format=torch.channels_last)
            with self._autocast():
                shown = small[count * len(true) : (count + 1) * len(true)]
                features, points = losses.read_again(network.motion, drawn_small, shown, own[0].canonical)
            parts |= {"features": features, "read": points}
            # with a base layer the picture is true by itself, and this would outweigh all that is said of pixels
            total = total + 0.5 * features + (2 if self.stage.base else 5) * points
        if self.perceptual is not None:
            with self._autocast():
                faces = [face_of(each, batch.driving) for each in (picture, true)]
                parts["perceptual"] = self.perceptual.loss(*faces)
            total = total + 0.65 * parts["perceptual"]
        return total, parts, picture

    def advance(self, clips: Clips) -> dict[str, float]:
        """One step of the optimisers; the parts of the loss."""
        return {name: float(value) for name, value in self.step_on(clips).items()}

    def step_on(self, clips: Clips) -> Parts:
        """The same without waiting for the device."""
        share = min(1.0, self.seconds / (60 * self.stage.minutes))
        cosine = 0.5 * (1 + math.cos(math.pi * max(0.0, (share - 0.3) / 0.7)))
        rate = self.stage.rate * min(1.0, (self.step + 1) / 50) * (0.03 + 0.97 * cosine)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        stage = self.stage
        chance = np.random.default_rng([self.seed, self.step])
        batch = clips.batch(
            stage.batch, stage.size, self.random, stage.change, stage.sources, with_base=stage.base, chance=chance
        )
        total, parts, drawn = self._loss(batch)
        if self.adversary is not None:
            faces = [face_of(picture, batch.driving) for picture in (drawn, batch.driving.picture)]
            unreal, matching = self.adversary.judge(*faces)
            say = min(1.0, self.step / _SEED_STEPS)
            total = total + say * self._detail * (0.05 * unreal + 2 * matching)
            parts |= {"unreal": unreal, "matching": matching}
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
        self.optimiser.step()
        figures = {name: value.detach() for name, value in parts.items()}
        if self.adversary is not None:
            figures["discriminator"] = self.adversary.learn(*faces)
        self.step += 1
        self._average()
        return figures

    def save(self, path: Path) -> None:
        """Writes the checkpoint."""
        state: dict[str, Any] = {
            "stage": self.stage.name, "network": self.network.state_dict(), "average": self.average,
            "optimiser": self.optimiser.state_dict(), "random": self.random.get_state(), "step": self.step,
            "seconds": self.seconds, "adversary": self.adversary and self.adversary.state(),
            "teacher": self.teacher and self.teacher.state_dict(),
        }  # fmt: skip
        write_checkpoint(path, state)

    def load(self, path: Path) -> None:
        """Goes on from a checkpoint of `save`."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.random.set_state(state["random"])
        self.step, self.seconds = state["step"], state["seconds"]
        if self.adversary is not None:
            self.adversary.restore(state["adversary"])
        if state["teacher"]:
            self.teacher = self._teacher(state["teacher"])

    def export(self, path: Path) -> None:
        """Writes the moving-average weights as fp16 safetensors."""
        write_weights(path, self.average)

    def _supervised(self, source: MotionTensors, driving: MotionTensors, batch: Batch) -> tuple[Tensor, Parts]:
        """Landmarks through the *source's* canonical keypoints, as a receiver has them; pose; little expression."""
        sides: tuple[tuple[MotionTensors, Side], ...] = ((source, batch.sources[0]), (driving, batch.driving))
        canonical = source.canonical
        parts = {
            "landmark": torch.stack([losses.landmark(keypoints(canonical, m), side) for m, side in sides]).sum(),
            "pose": torch.stack([losses.head_pose(m, side) for m, side in sides]).sum(),
            "identity": (canonical - driving.canonical).abs().mean(),
        }
        total = parts["landmark"] + parts["pose"] + 0.05 * parts["identity"]
        return total + 0.05 * driving.expression.square().mean(), parts

    def _free(self, source: MotionTensors, driving: MotionTensors, both: Tensor) -> Tensor:
        assert self.teacher is not None
        with torch.no_grad():
            old_source, old_driving = _parted(self.teacher(both), 2)
        free = slice(len(LANDMARKS), KEYPOINTS)
        new = torch.cat([keypoints(source.canonical, m)[:, free] for m in (source, driving)])
        old = torch.cat([keypoints(old_source.canonical, m)[:, free] for m in (old_source, old_driving)])
        return (new - old)[..., :2].abs().mean() + 0.3 * (new - old)[..., 2].abs().mean()

    def _teacher(self, weights: dict[str, Tensor]) -> MotionNetwork:
        teacher = MotionNetwork().to(self.device).requires_grad_(False)
        teacher.load_state_dict(weights)
        return teacher

    def _autocast(self) -> AbstractContextManager[object]:
        """bf16 in convolutions only: autocast would narrow keypoints and flows, too, to steps of half a pixel."""
        return NarrowConvolutions(torch.bfloat16) if self.half else nullcontext()

    def _snapshot(self) -> dict[str, Tensor]:
        return {k: v.detach().clone().float() for k, v in self.network.state_dict().items()}

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(0.999, self.step / (self.step + 20))
        own = self.network.state_dict()
        torch._foreach_lerp_(list(self.average.values()), [own[k].float() for k in self.average], 1 - keep)


def fading(batch: int, sources: int, random: torch.Generator) -> Tensor:
    """(batch, sources) weights as a call has them: a quarter of the rows one source, a quarter all alike, the rest
    anything between."""
    where = random.device
    if sources == 1:
        return torch.ones(batch, 1, device=where)
    weights = torch.rand((batch, sources), generator=random, device=where) + 1e-3
    kind = torch.rand((batch, 1), generator=random, device=where)
    alone = (weights == weights.amax(1, keepdim=True)).float()
    return torch.where(kind < 0.25, alone, torch.where(kind < 0.5, torch.ones_like(weights), weights))


def _parted(motion: MotionTensors, count: int) -> list[MotionTensors]:
    """The sides of a batch that holds `count` of them, one after the other."""
    return [MotionTensors(*parts) for parts in zip(*(t.float().chunk(count) for t in motion), strict=True)]
