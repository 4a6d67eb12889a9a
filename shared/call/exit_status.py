"""How a program ends: with an exit status that scripts can rely on, and one sentence if it did not go well."""

from __future__ import annotations

import torch

from shared.loading import INTERRUPTED

WELL, FAILED, USAGE = 0, 1, 2
"""USAGE is argparse's own."""
EXIT_STATUSES = f"""\
exit status:
  {WELL:<5}the call went well
  {FAILED:<5}it did not; the last line on stderr says why, and what to do
  {USAGE:<5}the command line is wrong
  {INTERRUPTED:<5}Ctrl-C, SIGTERM or SIGHUP (its terminal was closed) ended it; what was recorded plays; a
       second Ctrl-C ends it at once
"""
OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)
"""What Python and the GPU raise; neither says what to do."""


def sentence(error: BaseException) -> str:
    """What an error says, in one line."""
    if isinstance(error, OUT_OF_MEMORY):
        return "there is not enough memory for this: take fewer --calls, the smaller --size, or --device cpu"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines) or type(error).__name__
