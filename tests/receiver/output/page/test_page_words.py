"""The words of a call, and warnings, on the page in a real browser."""

from __future__ import annotations

import pytest
from call_examples import picture
from chromium import Chromium, require_chromium
from page_examples import INDICATORS, ShownCall, make_hello

from receiver.output.page.server import PageServer
from receiver.output.page.view import WebView
from shared.transport.viewers import Viewers


@pytest.mark.browser
async def test_words_and_warnings_are_shown_until_the_call_ends() -> None:
    require_chromium()
    view, trust = WebView(Viewers()), {"words": [], "compared": False, "warnings": []}  # type: ignore[var-annotated]
    async with PageServer("127.0.0.1", 0, view) as page, Chromium() as browser:
        tab = await browser.open(page.url)
        text = "document.getElementById('{}').textContent".format
        async with ShownCall(view, [picture(0)]) as call:
            view.end("")
            view.begin(call.half, call.here, make_hello(), lambda: INDICATORS, 0.0, lambda: trust)
            await tab.until(f"{text('fps')}.startsWith('24')")
            assert await tab.evaluate(text("words")) == "–"
            assert await tab.evaluate("document.getElementById('warning').hidden")
            trust["words"] = ["tiger", "garden", "pencil", "violin"]
            await tab.until(f"{text('words')} === 'tiger garden pencil violin'")
            assert (await tab.evaluate(text("words-title"))).endswith("are they the same at the other end?")
            trust["compared"], trust["warnings"] = True, ["the key of anna has changed"]
            await tab.until(f"{text('warning')} === 'Warning: the key of anna has changed.'")
            assert await tab.evaluate("document.getElementById('warning').offsetHeight") > 0
            assert await tab.evaluate(text("words-title")) == "Words of this call"
        await tab.until("document.getElementById('warning').hidden")
        assert await tab.evaluate(text("words")) == "–"
        assert tab.errors == []
