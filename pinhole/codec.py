"""Video codec for talking heads: the networks and tables that encoders and decoders share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pinhole.decoder import Decoder, Frame, frames_of
from pinhole.encoder import Encoder, write_call
from receiver.decoder import CallDecoder
from receiver.settings import ReceiverContext
from receiver.upscale import DEFAULT_UPSCALER, load_upscaler
from sender.call import SenderSettings, assemble
from sender.encoder import CallEncoder
from sender.frame_rate import LARGEST_RATE, LEAST_RATE
from sender.profiles import DEFAULT_PROFILE, PROFILES
from sender.refresh import parse_policy
from shared.call.call_file import read_stream
from shared.codec.av1 import decodable
from shared.codec.picture import Quality
from shared.models.batching import warm_up
from shared.models.engine import NATIVE_SIZE, SIZES, Engine, EngineError
from shared.models.registry import choose_device, load_basis, load_engine, usual_size, wire_hash
from shared.signalling.hello import Hello, Incompatible, SourceKind

_OWN_LINK = "a link of the caller's own"


@dataclass(frozen=True)
class EncoderOptions:
    """How to encode; what each means is what the option of that name means to `python -m sender`."""

    profile: str = DEFAULT_PROFILE
    """thin, sparing, balanced, sharp, video or responsive: what it may cost, and how quick it is."""
    source_size: int | None = None
    """Side of the source pictures: 64, 128, 256 or 512 pixels; None: the profile's."""
    source_quality: Quality | None = None
    """Their quality, 0 to 100 or "max"; None: the profile's."""
    refresh: str = "quality"
    """When a new source goes: quality, pose:DEGREES, freq:FRAMES or first."""
    budget: float | None = None
    """kbit/s on the wire, out and back, that sources keep to; None: the profile's for the refresh by quality."""
    base: Literal["auto", "always", "off"] = "auto"
    """The base layer: while there is a face, without one too, or none."""
    framing: Literal["auto", "none"] = "auto"
    """auto: the square that follows the head; none: the centre square as it is."""
    source_kind: SourceKind = "file"
    """Where the frames come from, for an honest mark on the other side: "camera" if they are one's own."""

    def __post_init__(self) -> None:
        """Raises ValueError for what is not there."""
        if self.profile not in PROFILES:
            raise ValueError(f"there is no profile {self.profile!r}; known: {', '.join(PROFILES)}")
        for name, value, known in (
            ("base", self.base, ("auto", "always", "off")),
            ("framing", self.framing, ("auto", "none")),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
        parse_policy(self.refresh)


class Codec:
    """Networks and tables of one engine, from which any number of encoders and decoders are made.

    It keeps no thread and no file, so there is nothing to close. Threads may use encoders and decoders of one
    codec at the same time, each its own. How many threads a picture is computed with is PyTorch's setting
    (`torch.set_num_threads`), which is left alone.
    """

    def __init__(self, receiver: ReceiverContext, extracting: Engine, device: str = "cpu") -> None:
        """`load` makes one. extracting: the engine for encoders, which draws in the networks' own size, to look at what
        the decoder shows."""
        self._name, self._receiver, self._extracting, self._device = extracting.name, receiver, extracting, device

    @staticmethod
    def load(
        engine: str = "compact",
        device: str = "auto",
        *,
        size: int | None = None,
        precision: str = "auto",
        backend: str = "auto",
        upscaler: str = DEFAULT_UPSCALER,
    ) -> Codec:
        """The codec of an engine, on `cpu`, `cuda` or, `auto`, the GPU where there is one.

        size: side of the pictures drawn, 256 or 512; None: the larger one on a GPU. precision: fp32, bf16 or, `auto`,
        by the processor. backend: what draws on a CPU, torch, openvino or, `auto`, the second where it is installed.
        upscaler: what enlarges sources. Raises EngineError, which says what to do.
        """
        device = choose_device(device)
        size = usual_size(engine, device) if size is None else size
        if size not in SIZES:
            raise EngineError(f"pictures are drawn in {' or '.join(map(str, SIZES))} px, not {size}")
        drawing = load_engine(engine, device, size=size, backend=backend, precision=precision)
        context = ReceiverContext(drawing, load_basis(engine), load_upscaler(upscaler, None, device), None, decodable())
        native = size == NATIVE_SIZE
        extracting = drawing if native else load_engine(engine, device, backend="auto", precision=precision)
        return Codec(context, extracting, device)

    @property
    def size(self) -> int:
        """Side of the pictures drawn, in pixels."""
        return self._receiver.engine.size

    def warm_up(self) -> None:
        """Draws a few frames, so that the first ones of a live call are not slow."""
        warm_up(self._receiver.engine)

    def compress(
        self, frames: Iterable[NDArray[np.uint8]], fps: float = 25.0, options: EncoderOptions | None = None
    ) -> bytes:
        """A call file with these frames, (H, W, 3) uint8 RGB, `fps` of them a second: what `python -m sender --source
        FILE --out CALL.pinhole` writes.

        What comes before the first face is left out. Raises NoFaceError if there is none, and ValueError for what is
        no picture, and for a rate that is not 0.5 to 60.
        """
        return write_call(*self._sender(fps, options, None), frames)

    def decompress(self, data: bytes, *, base: bool = True) -> Iterator[Frame]:
        """The frames of a call file, each drawn when it is asked for; sound is passed over.

        A file that breaks off is good up to there. base: whether its base layer is drawn from. Raises CallFileError
        for what is no call or damaged, and Incompatible for one of other weights.
        """
        hello, entries = read_stream(BytesIO(data), "this call")
        self._check(hello)
        return frames_of(self._incoming(hello.fps, base), entries)

    def encoder(
        self, fps: float = 25.0, options: EncoderOptions | None = None, *, executor: Executor | None = None
    ) -> Encoder:
        """An encoder for a live call with about `fps` frames a second, which come when they come.

        executor: where sources are coded, and what the decoder draws looked at; None: within `push`, which takes some
        frames' time then. Raises ValueError.
        """
        half, hello = self._sender(fps, options, _OWN_LINK)
        return Encoder(half, hello, executor)

    def decoder(self, hello: bytes | None = None, *, base: bool = True, executor: Executor | None = None) -> Decoder:
        """A decoder for a live call.

        hello: the encoder's; None: it has this codec's weights, and 25 frames a second. base: whether a base layer is
        drawn from. executor: where sources are prepared; None: within `receive`. Raises Incompatible for an encoder of
        other weights.
        """
        fps = 25.0
        if hello is not None:
            try:
                theirs = Hello.from_dict(json.loads(hello))
            except (ValueError, RecursionError) as error:
                raise Incompatible(f"what came is no hello of an encoder: {error}") from error
            self._check(theirs)
            fps = theirs.fps
        return Decoder(self._incoming(fps, base), executor)

    def _sender(self, fps: float, options: EncoderOptions | None, peer: str | None) -> tuple[CallEncoder, Hello]:
        if not LEAST_RATE <= fps <= LARGEST_RATE:
            raise ValueError(f"a call has {LEAST_RATE:g} to {LARGEST_RATE:g} frames a second, not {fps:g}")
        options = options or EncoderOptions()
        settings = SenderSettings(
            peer=peer, refresh=parse_policy(options.refresh), budget=options.budget, profile=options.profile,
            picture_size=options.source_size, picture_quality=options.source_quality, base=options.base,
            framing=options.framing, engine=self._name, device=self._device,
        )  # fmt: skip
        return assemble(settings, self._extracting, self._receiver.basis, float(fps), options.source_kind)

    def _incoming(self, fps: float, base: bool) -> CallDecoder:
        return replace(self._receiver, base=self._receiver.base and base).half(fps)

    def _check(self, hello: Hello) -> None:
        """Raises Incompatible for what an encoder of another engine, or of other weights, sent."""
        if hello.engine != self._name:
            raise Incompatible(
                f"it was encoded with engine {hello.engine!r}, and this codec has {self._name!r}: "
                f"Codec.load({hello.engine!r}) decodes it"
            )
        if hello.engine_hash != wire_hash(self._name):
            raise Incompatible("it was encoded with other weights: encode it again, or use its version of Pinhole")
