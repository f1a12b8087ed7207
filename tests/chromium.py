"""A real browser, driven through its debugging protocol: what pages show, ask for and do with keys.

As in `with Chromium(folder) as browser: browser.open(url); browser.evaluate("document.title")`.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
PROGRAM = next((found for name in NAMES if (found := shutil.which(name))), None)
QUIET = ("gpu", "quic", "background-networking", "component-update", "sync", "extensions", "default-apps")
_PATIENCE = 60.0


class Chromium:
    """One headless browser with one page. `events` holds all that the protocol told, in order."""

    def __init__(self, folder: Path, *more: str) -> None:
        self._process = subprocess.Popen(
            [
                str(PROGRAM),
                "--headless",
                "--no-sandbox",
                "--no-first-run",
                *(f"--disable-{name}" for name in QUIET),
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--user-data-dir={folder / 'profile'}",
                "--remote-debugging-port=0",
                *more,
                "about:blank",
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Chromium:
        try:
            lines = iter(self._process.stderr.readline, "")
            found = (re.search(r"listening on ws://127\.0\.0\.1:(\d+)/", line) for line in lines)
            port = next(match[1] for match in found if match)
            self._loop.run_until_complete(self._connect(int(port)))
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(Exception):
            self.call("Browser.close")  # so that its logs are whole
            self._process.wait(_PATIENCE)
        self._loop.run_until_complete(self._disconnect())
        self._loop.close()
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()

    async def _connect(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [one for one in await answer.json() if one["type"] == "page"]
        self._socket = await self._session.ws_connect(
            pages[0]["webSocketDebuggerUrl"], max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=1.0)
        )

    async def _disconnect(self) -> None:
        if hasattr(self, "_socket"):
            await self._socket.close()
        if hasattr(self, "_session"):
            await self._session.close()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; returns its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), _PATIENCE))

    async def _call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            told = json.loads((await self._socket.receive()).data)
            if told.get("id") == number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']['message']}")
                return told["result"]
            self.events.append(told)

    def open(self, url: str) -> None:
        """Load a page and wait until it and what it loads is there."""
        self.evaluate("window.isLeft = true")
        self.call("Page.navigate", url=url)
        self.wait("!window.isLeft && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression on the page, a promise's awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the expression holds; also across a change of page."""

        async def until() -> None:
            while True:
                try:
                    found = await self._call("Runtime.evaluate", {"expression": expression})
                except RuntimeError:
                    found = {"result": {}}
                if found["result"].get("value") is True:
                    return
                await asyncio.sleep(0.02)

        self._loop.run_until_complete(asyncio.wait_for(until(), _PATIENCE))

    def press(self, key: str) -> None:
        """Press and let go a key, a letter or e.g. `Escape`."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def resize(self, width: int, height: int) -> None:
        """Give the page this many CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def picture(self, path: Path, selector: str = "") -> None:
        """A PNG of what is seen, or of the first element that `selector` finds."""
        clip: dict[str, Any] = {}
        if selector:
            box = self.evaluate(
                f"(({{x, y, width, height}}) => ({{x: x + scrollX, y: y + scrollY, width, height, scale: 1}}))"
                f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
            )
            clip = {"clip": box, "captureBeyondViewport": True}
        data = self.call("Page.captureScreenshot", format="png", **clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """What the console and the page's faults told."""
        found = []
        for event in self.events:
            if event["method"] == "Runtime.exceptionThrown":
                found.append(event["params"]["exceptionDetails"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(str(event["params"]["args"]))
            elif event["method"] == "Log.entryAdded":
                found.append(event["params"]["entry"]["text"])
        return found

    def asked(self) -> list[str]:
        """The addresses of all requests, data left out."""
        urls = (
            e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"
        )
        return [url for url in urls if not url.startswith("data:")]
