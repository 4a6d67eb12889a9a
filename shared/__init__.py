"""What sender and receiver have in common: motion, codecs, networks, the link and the session."""

import cv2  # noqa: F401  # before PyAV, or windows hang: each brings an X library, and the first one loaded serves both
