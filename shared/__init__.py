"""What sender and receiver have in common: motion, codecs, networks, the link and the session."""

from shared.loading import end_while_loading

end_while_loading()  # before anything that takes its time

import os  # noqa: E402

from shared.cores import ENVIRONMENT  # noqa: E402

os.environ.update({**ENVIRONMENT, **os.environ})

import cv2  # noqa: E402, F401  # before PyAV, or windows hang: each brings an X library, and the first one loaded serves both
