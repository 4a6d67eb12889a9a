"""A real browser for tests: headless Chromium, driven by its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import aiohttp
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--no-first-run", "--disable-gpu", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-dev-shm-usage", "--mute-audio", "--remote-debugging-port=0",
)  # fmt: skip
_START_SECONDS = 60.0
_POLL_SECONDS = 0.1


def require_chromium() -> str:
    """The browser's path; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    return found


class Tab:
    """A page in the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []
        """What the page logged as an error or did not catch."""
        self._reading = asyncio.ensure_future(self._read())

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol and its result."""
        number = next(self._ids)
        coming = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await coming
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of its promise."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, condition: str, within: float = 60.0) -> Any:
        """The first true value of an expression. Fails with the page's text after `within` seconds."""
        async with asyncio.timeout(within):
            try:
                while not (value := await self.evaluate(condition)):
                    await asyncio.sleep(_POLL_SECONDS)
            except asyncio.CancelledError:
                print("never came true:", condition, "errors:", self.errors)
                raise
        return value

    async def resize(self, width: int, height: int) -> None:
        """A phone's screen of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        await self.call("Emulation.setDeviceMetricsOverride", **metrics)

    async def click(self, name: str) -> None:
        """A click of the mouse on the element of this id, as a person's: some things browsers allow only then."""
        centre = f"""(() => {{
          const element = document.getElementById("{name}");
          element.scrollIntoView({{ block: "center", behavior: "instant" }});
          const box = element.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        x, y = await self.evaluate(centre)
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        """A key that writes a letter, pressed and let go."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def screenshot(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR: what the tab shows."""
        data = base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)

    async def close(self) -> None:
        """Closes the tab, as its user would."""
        await self._socket.send_json({"id": next(self._ids), "method": "Page.close"})
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data and data["id"] in self._waiting:
                self._waiting.pop(data["id"]).set_result(data)
            elif data.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(data["params"]["exceptionDetails"]))
            elif data.get("method") == "Log.entryAdded" and data["params"]["entry"]["level"] == "error":
                self.errors.append(json.dumps(data["params"]["entry"]))
            elif data.get("method") == "Runtime.consoleAPICalled" and data["params"]["type"] in ("error", "assert"):
                self.errors.append(json.dumps(data["params"]["args"]))


class Chromium:
    """The browser; gone at the end of the block, with its profile."""

    def __init__(self) -> None:
        self._program = require_chromium()
        self._folder = tempfile.TemporaryDirectory(prefix="pinhole-chromium-", ignore_cleanup_errors=True)
        self._process: asyncio.subprocess.Process | None = None
        self._address = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        self._process = await asyncio.create_subprocess_exec(
            self._program, *FLAGS, f"--user-data-dir={self._folder.name}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        port = Path(self._folder.name) / "DevToolsActivePort"
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not port.exists() or "\n" not in port.read_text():
                    if self._process.returncode is not None:
                        pytest.skip(f"{self._program} does not start here (exit code {self._process.returncode})")
                    await asyncio.sleep(_POLL_SECONDS)
        except BaseException:
            await self.__aexit__()
            raise
        self._address = f"http://127.0.0.1:{port.read_text().split()[0]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._folder.cleanup()

    async def open(self, url: str) -> Tab:
        """A new tab, in front of the others."""
        async with self._session.put(f"{self._address}/json/new?about:blank") as response:
            target = await response.json()
        tab = Tab(await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0))
        for domain in ("Runtime", "Log", "Page"):
            await tab.call(f"{domain}.enable")
        await tab.call("Page.navigate", url=url)
        await tab.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab
