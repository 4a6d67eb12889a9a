"""The stages of the recipe, in order; each starts from the weights of the one before."""

from __future__ import annotations

from dataclasses import dataclass, replace

from weights.training.data import Augmentation


@dataclass(frozen=True)
class Stage:
    """One stage of training."""

    name: str
    size: int
    """Side of the pictures drawn in px; the motion network always sees 128."""
    minutes: float
    batch: int
    rate: float
    """Learning rate at its height."""
    motion: bool
    """Whether the motion network learns."""
    drawing: bool = True
    """Whether the other networks learn."""
    adversary: bool = False
    sources: int = 1
    """Pictures that each frame is drawn from."""
    base: bool = False
    """Whether some rows have a base layer; without one nothing of its fusion learns."""
    change: Augmentation = Augmentation()  # noqa: RUF009 - frozen


RECIPE = (
    # the motion network alone: landmarks and head pose, a tenth of the price of a drawn sample
    Stage("motion", 256, 25, 32, 8e-4, True, False, change=Augmentation(20, 0.25, 0.12, 0.3)),
    # everything together, so that the free keypoints learn what hair, neck and shoulders need
    Stage("128", 128, 60, 16, 6e-4, True),
    Stage("256", 256, 60, 6, 5e-4, False),
    Stage("sharp", 256, 60, 6, 3e-4, False, adversary=True),
    Stage("fused", 256, 60, 5, 3e-4, False, adversary=True, sources=2),
    Stage("base", 256, 60, 5, 3e-4, False, adversary=True, sources=2, base=True),
)


def chosen(text: str | None, batch: int | None = None, minutes: float | None = None) -> list[Stage]:
    """Stages of the recipe from `name[=minutes],...`; None is the whole recipe. Raises ValueError with what to do.

    `batch` and `minutes` replace those of all stages; minutes given for a stage by name come first.
    """
    known = {stage.name: stage for stage in RECIPE}
    out = []
    for part in (text or ",".join(known)).split(","):
        name, _, own = part.partition("=")
        if name not in known:
            raise ValueError(f"there is no stage {name!r}; the recipe has {', '.join(known)}")
        stage = known[name]
        try:
            length = float(own) if own else minutes if minutes is not None else stage.minutes
        except ValueError:
            raise ValueError(f"{part!r}: minutes are a number, as in {name}=30") from None
        out.append(replace(stage, minutes=length, batch=batch or stage.batch))
    return out
