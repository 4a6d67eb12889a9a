"""What happens to faces in calls, made of the sample person in a plain room: she goes, is hidden, or comes close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from sender.detect import Image
from sender.encoder import CallEncoder, EncoderSettings
from sender.refresh import EveryN
from sender.sample import sample_frames
from shared.models.engine import Engine, Picture
from shared.models.registry import load_basis
from shared.motion import Motion

FPS = 25.0
WIDTH, HEIGHT = 640, 360
SKIN = (214, 168, 140)


def room() -> Image:
    """(360, 640, 3) a wall with nobody before it, lighter on one side."""
    shade = np.linspace(150, 200, WIDTH)[None, :, None] * np.array([1.0, 0.98, 0.94])
    return np.broadcast_to(shade, (HEIGHT, WIDTH, 3)).astype(np.uint8).copy()


def placed(person: Picture, x: float, y: float = 60.0, side: float = 300.0) -> Image:
    """A square picture of a person in the room, its left top at (x, y); what is beyond the picture is cut off."""
    scale = side / len(person)
    place = np.array([[scale, 0, x], [0, scale, y]])
    canvas = room()
    return np.asarray(
        cv2.warpAffine(person, place, (WIDTH, HEIGHT), dst=canvas, borderMode=cv2.BORDER_TRANSPARENT), np.uint8
    )


def with_hand(picture: Image, x: float, y: float) -> Image:
    """A palm with shaded rims, 190 x 240 pixels, its middle at (x, y)."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    distance = ((columns - x) / 95) ** 2 + ((rows - y) / 120) ** 2
    share = np.clip((1 - distance) * 8, 0, 1)[..., None]
    palm = np.array(SKIN) * (1 - 0.3 * np.clip(distance, 0, 1))[..., None]
    return np.asarray(picture * (1 - share) + palm * share, np.uint8)


def people(count: int) -> list[Picture]:
    """So many frames of the sample person, 256x256."""
    return [picture for _, picture in sample_frames(FPS, count / FPS, 256)]


@dataclass
class Sent:
    """What a sender made of pictures."""

    motions: list[Motion | None] = field(default_factory=list)
    """Of each picture."""
    crops: list[int] = field(default_factory=list)
    """Numbers of the crops of those with a face."""
    sources: dict[int, Picture] = field(default_factory=dict)
    """Pictures that went as sources, by the number of the frame."""

    def faces(self, first: int, last: int) -> list[bool]:
        """Whether frames from one number up to another had a face."""
        return [motion is not None for motion in self.motions[first:last]]


def sent(engine: Engine, pictures: Sequence[Image], every: int = 6) -> Sent:
    """Sends pictures, every sixth as a source if it may be one; each source is held at once."""
    half = CallEncoder(EncoderSettings(FPS), engine, load_basis("compact"), EveryN(every))
    out = Sent()
    for number, picture in enumerate(pictures):
        now = number / FPS
        analysis = half.analyse(picture)
        out.motions.append(None if analysis is None else analysis.motion)
        out.crops += [] if analysis is None else [analysis.crop_number]
        job = half.push(analysis, now, now, picture)
        if job is not None:
            assert analysis is not None
            made = half.done(job.perform(), now)
            assert made is not None
            half.assume_held(made.source_id)
            out.sources[number] = analysis.picture
        half.tick(now, 0)
    return out
