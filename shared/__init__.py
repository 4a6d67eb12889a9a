"""What sender and receiver have in common: motion, codecs, networks, the link and the session."""

import os

from shared.cores import ENVIRONMENT

os.environ.update({**ENVIRONMENT, **os.environ})

import cv2  # noqa: F401  # before PyAV, or windows hang: each brings an X library, and the first one loaded serves both
