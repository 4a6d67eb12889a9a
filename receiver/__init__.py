import os
import sys

# `python -m` looks in the working folder first, where a weights.py or an av.py of the user's is not what is meant.
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
if "receiver" in sys.orig_argv and sys.argv[:1] == ["-m"] and not sys.flags.safe_path and sys.path[0] != _HOME:
    del sys.path[0]

import shared  # noqa: E402, F401  # signals; before PyTorch, NumPy and PyAV: it says what they find when loaded
