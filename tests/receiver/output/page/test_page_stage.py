from __future__ import annotations

import asyncio
import time

import cv2
import numpy as np
import pytest
from call_examples import picture
from page_examples import INDICATORS, ShownCall, make_canonical, make_hello

from receiver.output.outputs import Sinks
from receiver.output.page.view import AV1_KBPS, WebView, figures
from shared.models.engine import Picture
from shared.motion import keypoints
from shared.transport.viewers import Viewers


def test_figures_are_rounded_and_stand_beside_av1() -> None:
    shown = figures(INDICATORS, seconds=60.04, wire_bytes=72_000)
    assert (shown["fps"], shown["wire_in_kbps"], shown["delay_ms"], shown["seconds"]) == (24.0, 6.9, 398, 60.0)
    assert shown["wire_bytes"] == 72_000
    assert shown["av1_bytes"] == round(AV1_KBPS / 8 * 60_040)


async def test_what_is_known_of_the_other_side_is_told() -> None:
    view = WebView(Viewers())
    async with ShownCall(view, [picture(0)]) as call:
        assert view.state(0.0)["call"]["trust"] == {}
        words: list[str] = []
        view.end("")
        view.begin(call.half, call.here, make_hello(), lambda: INDICATORS, 0.0, lambda: {"words": words})
        words.append("tiger")
        assert view.state(0.0)["call"]["trust"] == {"words": ["tiger"]}


async def test_a_call_is_shown_from_its_beginning_to_its_end() -> None:
    view, yaws = WebView(Viewers()), [picture(yaw) for yaw in (-20, 20)]
    view.show(0, yaws[0], time.monotonic())  # before any call: nobody's
    async with ShownCall(view, yaws) as call:
        first = view.call
        assert first is not None and first.source_jpeg(1) is not None and first.source_jpeg(2) is None
        with pytest.raises(RuntimeError, match="on already"):
            view.begin(call.half, call.here, first.hello, lambda: INDICATORS, 0.0)
        version, planes, _ = await view.viewers.feed.newest(0)
        assert planes.shape == (96, 64) and version >= 1
        while call.half.timing.on_display is None:
            await asyncio.sleep(0.01)
        motion = call.half.timing.on_display.motion
        assert motion is not None
        assert np.allclose(first.driving(), keypoints(make_canonical(), motion)[:, :2], atol=0.0006)
    over = {"call": None, "ended": call.reason, "viewers": 0, "note": "", "link": ""}
    assert view.state(0.0) == over
    async with ShownCall(view, yaws):
        assert view.call is not None and view.call.number == 2


def luma(shown: Picture) -> float:
    return float(cv2.cvtColor(shown, cv2.COLOR_RGB2YUV_I420)[:64].mean())


async def test_the_page_gets_what_the_window_would() -> None:
    view, one, other = WebView(Viewers()), picture(20), picture(-20)
    async with ShownCall(view, [other]) as call:
        await call.pause()
        view.viewers.clear()
        sinks = Sinks(None, False, 25, 64, page=view)
        assert await sinks.show(0, None, "")  # nothing to show yet
        assert await sinks.show(1, one, "")
        version, seen, _ = await view.viewers.feed.newest(0)
        assert abs(float(seen[:64].mean()) - luma(one)) < 2 < abs(luma(one) - luma(other))
        assert await sinks.show(2, None, "no face")
        assert (await view.viewers.feed.newest(0))[0] == version
        await sinks.close()
