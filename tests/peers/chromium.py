"""Debian's Chromium beside the tests, driven over its own debugging pipe, with its own virtual device.

A person's browser would do the same; nothing of WebAuthn is made here. `--remote-debugging-pipe` needs no
port and no driver: one JSON message after another, each ended by a zero byte, on descriptors 3 and 4.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FLAGS = (
    "--headless",
    "--no-sandbox",  # tests run as root in containers, where Chromium has no sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


_PLACE = """
import os, sys
for number, end in enumerate(sys.argv[1:3], start=3):
    os.dup2(int(end), number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Chromium:
    """One browser."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._numbers = count(1)
        self._rest = b""

    def ask(self, method: str, session: str = "", **more: Any) -> dict[str, Any]:
        """What the browser answers; its events are left aside."""
        number = next(self._numbers)
        said: dict[str, Any] = {"id": number, "method": method, "params": more}
        if session:
            said["sessionId"] = session
        os.write(self._send, json.dumps(said).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return dict(found["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            got = os.read(self._receive, 65536)
            if not got:
                raise RuntimeError("the browser has ended")
            self._rest += got
        one, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(one))

    def tab(self, address: str) -> Tab:
        """A new tab at this address."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        tab.ask("Page.enable")
        tab.go(address)
        return tab


class Tab:
    """One page that is open."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session
        self.own = ""

    def go(self, address: str) -> None:
        """Open this address."""
        self.ask("Page.navigate", url=address)

    def ask(self, method: str, **more: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **more)

    def device(self, **more: Any) -> None:
        """A device of this tab; it knows its person unless told otherwise."""
        self.ask("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = self.ask("WebAuthn.addVirtualAuthenticator", options=options | more)
        self.own = str(made["authenticatorId"])

    def run(self, script: str) -> Any:
        """What the script gives, awaited."""
        done = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(str(done["exceptionDetails"]))
        return done["result"].get("value")

    def until(self, condition: str) -> Any:
        """What the condition gives once it gives something, looked at before each frame is drawn."""
        return self.run(
            "new Promise((give) => { const look = () => { const found = (" + condition + ");"
            " if (found) give(found); else setTimeout(look, 10); }; look(); })"
        )

    def text(self, name: str) -> str:
        """What stands in an element."""
        return str(self.run(f"document.getElementById({name!r}).textContent"))

    def press(self, name: str) -> None:
        """Press a button as a person does: with the mouse, where it stands."""
        place = self.until(
            f"(() => {{ const one = document.getElementById({name!r});"
            " if (!one || one.disabled) return null; one.scrollIntoView();"
            " const box = one.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
            self.ask("Input.dispatchMouseEvent", type=kind, **where)


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """A browser with a profile of its own in this folder."""
    program = shutil.which("chromium")
    if program is None:
        raise RuntimeError("Chromium is not here; `dev/test` installs it: apt-get install chromium")
    to_read, send = os.pipe()
    receive, to_write = os.pipe()
    ends = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (to_read, to_write)]
    placed = (sys.executable, "-c", _PLACE, *map(str, ends))
    command = [*placed, program, *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    with (folder / "chromium.log").open("wb") as log:
        running = subprocess.Popen(command, pass_fds=ends, stdout=log, stderr=log)
    for one in ends:
        os.close(one)
    os.close(to_read)
    os.close(to_write)
    try:
        yield Chromium(send, receive)
    finally:
        os.close(send)
        os.close(receive)
        running.kill()
        running.wait()
