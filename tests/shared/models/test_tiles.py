from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from shared.models.esrgan import tiled, windows


@given(st.integers(1, 700), st.integers(1, 60), st.integers(0, 40))
def test_windows_cover_a_line_once_and_see_the_margin_beyond(length: int, core: int, margin: int) -> None:
    side = core + 2 * margin
    found = windows(length, side, margin)
    assert [place for w in found for place in range(w.keep_from, w.keep_to)] == list(range(length))
    for start, keep_from, keep_to in found:
        end = start + min(side, length)
        assert start >= 0
        assert end <= length
        assert keep_from - start >= margin or start == 0
        assert end - keep_to >= margin or end == length


def test_no_more_windows_than_needed() -> None:
    assert [len(windows(length, 100, 10)) for length in (1, 100, 101, 180, 181, 260, 261)] == [1, 1, 2, 2, 3, 3, 4]


def test_margins_that_fill_a_window_are_refused() -> None:
    with pytest.raises(ValueError, match="windows of 20 px keep nothing within margins of 10 px"):
        windows(21, 20, 10)


def blur_twice(picture: Tensor) -> Tensor:
    """Sees 3 px around a pixel, with zeros beyond the picture; twice as large."""
    kernel = torch.arange(1.0, 10).reshape(1, 1, 3, 3) / 45
    x = F.conv2d(F.conv2d(picture, kernel, padding=1), kernel, padding=1)
    return F.conv2d(F.interpolate(x, scale_factor=2.0), kernel, padding=1)


@pytest.mark.parametrize(("height", "width"), [(50, 50), (33, 16), (16, 90), (10, 12)])
def test_margins_that_cover_what_is_seen_give_the_whole(height: int, width: int) -> None:
    picture = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(tiled(blur_twice, picture, 2, 16, 3), blur_twice(picture), atol=1e-6)


def test_seams_show_without_margins() -> None:
    picture = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    assert (tiled(blur_twice, picture, 2, 16, 0) - blur_twice(picture)).abs().max() > 0.05


def test_no_window_is_larger_than_asked_for() -> None:
    seen: list[tuple[int, ...]] = []

    def spy(picture: Tensor) -> Tensor:
        seen.append(tuple(picture.shape))
        return picture

    tiled(spy, torch.zeros(1, 1, 40, 20), 1, 16, 2)
    assert set(seen) == {(1, 1, 16, 16)}
    seen.clear()
    tiled(spy, torch.zeros(1, 1, 16, 12), 1, 16, 2)
    assert seen == [(1, 1, 16, 12)]
