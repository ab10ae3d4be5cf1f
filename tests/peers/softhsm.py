"""A device of PKCS #11 for tests: a token of SoftHSM (Debian's `softhsm2`) in a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


PIN = "271828"
_numbers = count()
_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/*/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


def module() -> Path:
    """The device's library."""
    for place in _PLACES:
        for found in sorted(Path("/").glob(place[1:])):
            return found
    raise FileNotFoundError("there is no SoftHSM here: dev/test installs it")


class Device:
    """One token, its PIN in a file.

    The module reads its configuration when it is initialized anew: each device has a label of its own, so
    that one that this process knows from before is never found.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make it."""
        self.module = module()
        self.label = f"taskbound-{next(_numbers)}"
        self.tokens = folder / "tokens"
        self.tokens.mkdir()
        self.conf = folder / "softhsm2.conf"
        self.conf.write_text(
            f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n",
            encoding="utf-8",
        )
        monkeypatch.setenv("SOFTHSM2_CONF", str(self.conf))
        self.pin = folder / "pin"
        self.write_pin(PIN)
        subprocess.run(
            [
                "softhsm2-util",
                "--init-token",
                "--free",
                *("--label", self.label, "--pin", PIN, "--so-pin", "314159"),
            ],
            check=True,
            capture_output=True,
            env={**os.environ, "SOFTHSM2_CONF": str(self.conf)},
        )

    def write_pin(self, pin: str, mode: int = 0o600) -> None:
        """Put another PIN into the file."""
        self.pin.unlink(missing_ok=True)
        self.pin.write_text(f"{pin}\n", encoding="ascii")
        self.pin.chmod(mode)
