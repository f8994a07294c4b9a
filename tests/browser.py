"""A headless Chromium, driven by the DevTools protocol through a pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

_ANSWER_SECONDS = 60.0
_START = (  # the browser reads commands from descriptor 3 and answers on 4
    "import os, sys; high = [os.dup2(int(one), 60 + place) for place, one in "
    "enumerate(sys.argv[1:3])]; os.dup2(high[0], 3); os.dup2(high[1], 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)
_KEYS = {" ": "Space", "ArrowUp": "ArrowUp", "ArrowDown": "ArrowDown", "PageUp": "PageUp"}


class Browser:
    """One window of a browser with a profile of its own.

    Args:
        folder: for its profile.
        size: of the window, CSS pixels.
        touch: whether it is a phone.
    """

    def __init__(
        self, folder: Path, size: tuple[int, int] = (1300, 1000), *, touch: bool = False
    ) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            pytest.skip("needs chromium")
        theirs, self._write = os.pipe()
        self._read, answers = os.pipe()
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}",
            "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs), str(answers), program, *options],
            pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(answers)
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self.errors: list[str] = []
        targets = self.command("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self.command("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.command(f"{domain}.enable")
        self.resize(size, touch=touch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def resize(self, size: tuple[int, int], *, touch: bool = False) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=2 if touch else 1,
            mobile=touch,
        )
        self.command("Emulation.setTouchEmulationEnabled", enabled=touch)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_SECONDS
        while True:
            answer = self._message(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                found: dict[str, Any] = answer["result"]
                return found
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                self.errors.append(str(details.get("exception", {}).get("description", details)))

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, url: str) -> None:
        self.command("Page.navigate", url=url)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        found = self.command(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 40.0) -> Any:
        """Wait until an expression is true; returns its value."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(expression)):
            assert time.monotonic() < deadline, f"{expression} did not become true"
            time.sleep(0.05)
        return found

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element, which is scrolled into view."""
        quoted = json.dumps(selector)
        x, y = self.run(
            f"(() => {{ const one = document.querySelector({quoted});"
            "one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return x, y

    def click(self, selector: str) -> None:
        """Press and release the left button in the middle of an element."""
        self.drag(self.middle(selector), (0, 0))

    def drag(self, start: tuple[float, float], by: tuple[float, float], button="left") -> None:
        x, y = start
        held = {"left": 1, "right": 2, "middle": 4}[button]
        send = self.command
        send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        pressed = {"button": button, "buttons": held, "clickCount": 1}
        send("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **pressed)
        if by != (0, 0):
            for step in range(1, 6):
                at = {"x": x + by[0] * step / 5, "y": y + by[1] * step / 5}
                send("Input.dispatchMouseEvent", type="mouseMoved", **at, **pressed)
        pressed["buttons"] = 0
        end = {"x": x + by[0], "y": y + by[1]}
        send("Input.dispatchMouseEvent", type="mouseReleased", **end, **pressed)

    def wheel(self, selector: str, delta: float) -> None:
        x, y = self.middle(selector)
        self.command(
            "Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta
        )

    def swipe(self, start: tuple[float, float], by: tuple[float, float]) -> None:
        """Move one finger."""
        self.touches([[(start[0] + by[0] * part / 5, start[1] + by[1] * part / 5)]
                      for part in range(6)])  # fmt: skip

    def touches(self, moments: list[list[tuple[float, float]]]) -> None:
        """Put fingers down, move them, and take them up."""
        for number, points in enumerate(moments):
            kind = "touchStart" if number == 0 else "touchMove"
            where = [{"x": x, "y": y, "id": which} for which, (x, y) in enumerate(points)]
            self.command("Input.dispatchTouchEvent", type=kind, touchPoints=where)
        self.command("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key."""
        code = _KEYS.get(key, f"Key{key.upper()}" if key.isalpha() and len(key) == 1 else key)
        for kind in ("keyDown", "keyUp"):
            self.command(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code, modifiers=8 if shift else 0
            )

    def screenshot(self, path: Path) -> None:
        """Write a picture of the window as PNG."""
        picture = self.command("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(picture))
