"""Measurements of Pinhole: quality, speed and bandwidth, each a command that writes JSON."""

import shared  # noqa: F401  # before torch, which reads what it puts into the environment
