"""A headless Chromium, driven over a pipe by its own protocol: no package and no port.

https://chromedevtools.github.io/devtools-protocol

$ python tests/evaluation/browser.py report/index.html docs/report.png   # the README's picture
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next((path for name in NAMES if (path := shutil.which(name))), None)
ABSENT = f"none of {', '.join(NAMES)} is on PATH (Debian: apt-get install chromium)"
PROBLEMS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


class Page:
    """One page: `call` sends a command, `evaluate` runs JavaScript; `requests` and `problems` are what it did."""

    def __init__(self, sending: BinaryIO, receiving: BinaryIO) -> None:
        self._sending, self._receiving = sending, receiving
        self._number, self._session, self._rest = 0, "", b""
        self.requests: list[str] = []
        self.problems: list[Any] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **settings: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": settings}
        self._sending.write(
            json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0"
        )
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, path: Path, width: int, dark: bool = False) -> None:
        """Load a file in a window so wide, to the end."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.call("Page.navigate", url=path.resolve().as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def evaluate(self, expression: str) -> Any:
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path: Path, top: float = 0, height: float | None = None) -> None:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": height or size["height"] - top, "scale": 1}
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(image))

    def _next(self) -> dict[str, Any]:
        """The next message; what the page asks for and complains of is noted."""
        while b"\0" not in self._rest:
            part = os.read(self._receiving.fileno(), 1 << 20)
            assert part, "the browser ended"
            self._rest += part
        line, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(line)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") in PROBLEMS:
            self.problems.append(message["params"])
        return message


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """A browser with its profile in `folder`, ended afterwards."""
    assert PROGRAM, ABSENT
    from_us, to_browser = os.pipe()
    from_browser, to_us = os.pipe()
    words = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'  # Chromium reads commands from 3 and writes to 4
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
    options += ["--no-first-run", "--disable-background-networking", f"--user-data-dir={folder / 'profile'}"]
    environment = os.environ | {"HOME": str(folder)}
    process = subprocess.Popen(
        ["bash", "-c", words, PROGRAM, *options], pass_fds=(from_us, to_us), env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(from_us)
    os.close(to_us)
    with os.fdopen(to_browser, "wb", 0) as sending, os.fdopen(from_browser, "rb", 0) as receiving:
        try:
            yield Page(sending, receiving)
        finally:
            process.kill()
            process.wait()


def main(html: str, picture: str) -> None:
    """A picture of the verdict and of three sections."""
    with tempfile.TemporaryDirectory() as folder, page(Path(folder)) as opened:
        opened.open(Path(html), 1000)
        left_out = "nav, section:not(#metrics, #classes, #mistakes), tr:nth-child(n+8), li:nth-child(n+7)"
        opened.evaluate(f"for (const part of document.querySelectorAll('{left_out}')) part.remove()")
        opened.evaluate("for (const part of document.querySelectorAll('#classes > :not(h2, figure)')) part.remove()")
        opened.screenshot(Path(picture))
    with Image.open(picture) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
