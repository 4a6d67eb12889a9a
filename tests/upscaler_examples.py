"""Upscalers whose result is known: each repeats every pixel, four times both ways."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from shared.models.esrgan import RRDBNet


def write_esrgan(path: Path) -> Path:
    """An ESRGAN with one block, as a safetensors file in the names of Real-ESRGAN."""
    network = RRDBNet(1, 3, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for layer in (network.conv_first, network.upconv1, network.upconv2, network.HRconv, network.conv_last):
            for channel in range(3):
                layer.weight[channel, channel, 1, 1] = 1
    names = {"RRDB_trunk": "body", "RDB": "rdb", "trunk_conv": "conv_body", "upconv": "conv_up", "HRconv": "conv_hr"}
    state = network.state_dict()
    for ours, theirs in names.items():
        state = {name.replace(ours, theirs): value for name, value in state.items()}
    save_file(state, path)
    return path


def write_saved_model(folder: Path, scale: int = 4, channels: int = 3, add: float = 0) -> Path:
    """A SavedModel with the signature of the published one: (B, H, W, 3) float32, 0 to 255, to (B, 4H, 4W, 3).

    scale, channels: others than published, for models that must be refused. add: to every value.
    """
    import tensorflow as tf

    class Repeating(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, channels], tf.float32)])  # type: ignore[misc]
        def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
            return tf.repeat(tf.repeat(pictures, scale, axis=1), scale, axis=2) + add

    tf.saved_model.save(Repeating(), str(folder))
    return folder
