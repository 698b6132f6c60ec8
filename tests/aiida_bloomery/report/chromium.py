"""A headless Chromium, driven over the pipe of its DevTools protocol: no driver, no further package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip


class Tab:
    """One page.

    Attributes
    ----------
    problems
        What the console said of errors.
    requests
        Every address that was asked for.
    """

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive, self._buffer, self._number = send, receive, b"", 0
        self._session = ""
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> Any:
        """Send a command and wait for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        return self._until(lambda found: found.get("id") == self._number)

    def _until(self, wanted: Any) -> Any:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for found in self._messages(end - time.monotonic()):
                self._note(found)
                if wanted(found):
                    assert "error" not in found, found["error"]
                    return found.get("result", found.get("params"))
        raise TimeoutError("chromium does not answer")

    def _messages(self, patience: float) -> Iterator[dict[str, Any]]:
        while b"\0" not in self._buffer:
            if not select.select([self._receive], [], [], max(0.0, patience))[0]:
                return
            content = os.read(self._receive, 1 << 20)
            if not content:
                raise ConnectionError("chromium has ended")
            self._buffer += content
        message, self._buffer = self._buffer.split(b"\0", 1)
        yield json.loads(message)

    def _note(self, found: dict[str, Any]) -> None:
        method, content = found.get("method"), found.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(content["exceptionDetails"]))
        elif method == "Log.entryAdded" and content["entry"]["level"] == "error":
            self.problems.append(content["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and content["type"] == "error":
            self.problems.append(json.dumps(content["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(content["request"]["url"])

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, script: bool = True, dark: bool = False
    ) -> None:
        """Load a page and wait until all of it is there."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = "dark" if dark else "light"
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.command("Emulation.setScriptExecutionDisabled", value=not script)
        self.command("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda found: found.get("method") == "Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """Evaluate JavaScript; promises are waited for."""
        found = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, x: float, y: float) -> None:
        """Click with the mouse, in CSS pixels of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, name: str) -> None:
        """Press a key that has a name, such as PageDown."""
        for kind in ("keyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the window, or of the whole page."""
        found = self.command("Page.captureScreenshot", captureBeyondViewport=whole, **(self._extent() if whole else {}))
        path.write_bytes(base64.b64decode(found["data"]))

    def _extent(self) -> dict[str, Any]:
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def pdf(self, path: Path) -> None:
        """Print the page."""
        path.write_bytes(base64.b64decode(self.command("Page.printToPDF", printBackground=False)["data"]))


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """Yield a page of a Chromium that begins here and ends with the block.

    Parameters
    ----------
    profile
        Folder for what it writes.
    """
    assert PROGRAM is not None
    its_input, to_it = os.pipe()
    from_it, its_output = os.pipe()
    # The protocol's pipe is on the file descriptors 3 and 4.
    script = f'exec 3<&{its_input} 4>&{its_output}; exec "$@"'
    command = ["bash", "-c", script, "bash", PROGRAM, *OPTIONS, f"--user-data-dir={profile}"]
    with subprocess.Popen(
        command, pass_fds=(its_input, its_output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(its_input)
        os.close(its_output)
        try:
            yield Tab(to_it, from_it)
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)
            os.close(to_it)
            os.close(from_it)
