"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from taskbound.adapters.store.sql.sqlite.driver import driver

_PACKAGES: Final = ("cedarpy", "cryptography", "msgspec", "pysqlite3", "sqlalchemy")
_QUIET: Final = 0.3


def describe_machine(folder: Path) -> dict[str, str]:
    """Processor, system and libraries; `folder` is where databases were written."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{one} {version(one)}" for one in _PACKAGES)
    return {
        "cores": str(os.cpu_count()),
        "processor": _line("/proc/cpuinfo", "model name"),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "disk": f"{_filesystem(folder)}, databases in a temporary folder",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": driver.sqlite_version,
        "libraries": packages,
    }


def describe_load() -> str:
    """How busy the machine was with other work when the run began."""
    one, five, _ = os.getloadavg()
    cores = os.cpu_count() or 1
    words = "the machine was quiet" if one < _QUIET * cores else "other programs were at work"
    return f"{words} when the run began (load {one:.2f} in the last minute, {five:.2f} in five)."


def _line(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    found = [one.partition(":")[2].strip() for one in lines if one.startswith(name)]
    return found[0] if found else "unknown"


def _filesystem(folder: Path) -> str:
    """The kind of file system that holds this folder."""
    best, kind = "", "unknown"
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return kind
    for mount in mounts:
        _, place, found, *_ = mount.split(" ")
        if folder.resolve().is_relative_to(place) and len(place) >= len(best):
            best, kind = place, found
    return kind
