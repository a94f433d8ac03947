"""Headless Chromium, controlled through a pipe: opens pages without a network, sees every request,
and takes pictures of them."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium on PATH, or its address in CHROMIUM"
)

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    "--proxy-server=127.0.0.1:9",  # no one answers there
)
_PATIENCE_S = 60.0


class Browser:
    """A page in a browser.

    Attributes:
        requests: addresses that the page asked for, its own and data: excepted.
        messages: what it wrote to the console, and its errors.
    """

    def __init__(self, process: subprocess.Popen[bytes], to: int, answers: int) -> None:
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._process, self._to, self._from = process, to, answers
        self._number, self._rest, self._session, self._own = 0, b"", "", ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def open(self, path: Path, width: int = 1200, height: int = 900) -> None:
        """Open a local page, and wait until it has loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self._own = path.resolve().as_uri()
        self.requests.clear()
        self.messages.clear()
        self.ask("Page.navigate", url=self._own)
        self.wait_for("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """The value of an expression, as soon as it is true."""
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.02)
        raise TimeoutError(script)

    def picture(self, whole: bool = True) -> bytes:
        """The page as a PNG; what is in the window, or the whole of it."""
        more = {"captureBeyondViewport": whole}
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png", **more)["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        found = self.ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])

    def ask(self, method: str, **parameters: Any) -> Any:
        """The answer to a command of Chromium's protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def _note(self, event: Any) -> None:
        parameters = event.get("params", {})
        match event["method"]:
            case "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if url.partition("#")[0] != self._own and not url.startswith("data:"):
                    self.requests.append(url)
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                self.messages.append(json.dumps(parameters)[:2000])


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser with an empty page."""
    assert CHROMIUM is not None
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as folder:
        # Chromium reads commands from 3 and writes answers to 4.
        command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        process = subprocess.Popen(
            ["bash", "-c", command, "-", CHROMIUM, *_FLAGS, f"--user-data-dir={folder}"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(process, ours_out, ours_in)
        finally:
            process.terminate()
            process.wait(20)
            os.close(ours_out)
            os.close(ours_in)
