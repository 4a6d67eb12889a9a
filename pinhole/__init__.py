"""Video codec for talking heads, the public interface: frames in, a few bytes each out, and frames drawn from those.

What this package names is what other programs may import; `sender`, `receiver` and `shared` are its inside, and change.
docs/api.md shows it in ten lines and says what there is.
"""

from pinhole.codec import Codec, EncoderOptions
from pinhole.decoder import Decoder, Frame
from pinhole.encoder import Encoder, Message, NoFaceError
from shared.callfile import CallFileError
from shared.errors import PinholeError
from shared.link.base import Channel
from shared.models.engine import EngineError
from shared.motion import Motion
from shared.session.call import TooManyErrors
from shared.session.hello import Incompatible

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
