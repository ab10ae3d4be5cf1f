"""The folder in memory in which tests keep the files of databases and servers."""

from __future__ import annotations

import os
from pathlib import Path


def memory_folder() -> Path | None:
    """Where syncing costs nothing; None if the machine has no such folder, to use that of temporary files."""
    folder = Path("/dev/shm")  # noqa: S108  # each user makes a folder of its own in it
    return folder if os.access(folder, os.W_OK) else None
