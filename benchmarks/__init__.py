"""Measurements of Pinhole: quality, speed and bandwidth, each a command that writes JSON."""

import os

import shared  # noqa: F401  # what signals do from here on

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as both ends of a call have it, before torch is imported
