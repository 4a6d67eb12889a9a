"""Measurements of Pinhole: quality, speed and bandwidth, each a command that writes JSON."""

import shared  # noqa: F401  # what signals do from here on; before torch, which reads what it puts into the environment
