"""Video codec for talking heads, the public interface: frames in, a few bytes each out, and frames drawn from those.

What this package names is what other programs may import; `sender`, `receiver` and `shared` are its inside, and change.
docs/api.md shows it in ten lines and says what there is.
"""

from pinhole.codec import Codec, EncoderOptions
from pinhole.decoder import Decoder, Frame
from pinhole.encoder import Encoder, Message, NoFaceError
from shared.call.call_file import CallFileError
from shared.call.loop import TooManyErrors
from shared.errors import PinholeError
from shared.models.engine import EngineError
from shared.motion import Motion
from shared.signalling.hello import Incompatible
from shared.transport.link import Channel

__all__ = [
    "CallFileError",
    "Channel",
    "Codec",
    "Decoder",
    "Encoder",
    "EncoderOptions",
    "EngineError",
    "Frame",
    "Incompatible",
    "Message",
    "Motion",
    "NoFaceError",
    "PinholeError",
    "TooManyErrors",
]
