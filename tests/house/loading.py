"""Imports everything in a process of its own, and prints what an import did besides defining things."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from types import FrameType

WORK = (
    "socket.",
    "subprocess.",
    "sqlite3.",
    "os.",
    "shutil.",
    "tempfile.",
    "glob.",
    "_thread.start",
    "urllib.",
)
HARMLESS = frozenset({"os.listdir", "os.scandir", "os.listxattr", "os.getxattr"})


def watch(names: Sequence[str], package: str) -> list[str]:
    """What the imports of the named modules did: each deed with the module that did it."""
    seen: list[str] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        opened = event == "open"
        if (opened or event.startswith(WORK)) and event not in HARMLESS:
            module = _doer(sys._getframe(1), package)  # noqa: SLF001 - the one way to see who calls
            if module:
                seen.append(f"{module}: {event} {str(arguments[:1])[:120]}")

    sys.addaudithook(note)
    threads = threading.active_count()
    for name in names:
        importlib.import_module(name)
        if threading.active_count() != threads:
            seen.append(f"{name}: leaves a thread running")
            threads = threading.active_count()
    return seen


def _doer(frame: FrameType | None, package: str) -> str:
    """The module of ours that is at work, or nothing when the import system or another package is."""
    while frame is not None:
        file = frame.f_code.co_filename
        module = str(frame.f_globals.get("__name__", ""))
        if "importlib" in file or f"{os.sep}site-packages{os.sep}" in file:
            return ""
        if module == package or module.startswith(f"{package}."):
            return module
        frame = frame.f_back
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(watch(sys.argv[2:], sys.argv[1])))
