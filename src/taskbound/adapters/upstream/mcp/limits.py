"""How the limits of a server are kept on this system, what servers have by default, and what they die of.

1. By default a server writes no core dump, which would hold all that it knows, may have 4,096 files open, and
   4 GiB of data. Data is what it can write to (`RLIMIT_DATA`): what runtimes only reserve, tens of gigabytes
   in Chromium's case, is none of it. Address space is not limited for that reason.
2. What this system does not keep can't be declared: `memory` outside of Linux, `processes` as root.
3. The number of files that a program starts with is left to it by default: what it raises it to is bounded.
4. Who uses up `cpu` is told so by a signal, and killed a second later; who writes past `size`, by another.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.mcp.errors import LimitNotKeptError
from taskbound.core.tool.limits import limit_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.tool.limits import Limit


DEFAULTS: Final = {"files": 4_096, "memory": 4 << 30}
"""What servers have where nothing is declared."""
_KINDS: Final = {
    "cpu": "RLIMIT_CPU",
    "files": "RLIMIT_NOFILE",
    "memory": "RLIMIT_DATA",
    "processes": "RLIMIT_NPROC",
    "size": "RLIMIT_FSIZE",
}
_SIGNALS: Final[dict[int, str]] = {signal.SIGXCPU: "cpu", signal.SIGXFSZ: "size"}


def require_kept(limits: Sequence[Limit]) -> None:
    """Go on only with limits that this system keeps (rule 2).

    Raises:
        LimitNotKeptError: It does not keep one of them.
    """
    for name, much in limits:
        if much and (why := _not_kept(name)):
            raise LimitNotKeptError(f"`{name}` can't be limited here: {why}")


def kept(limits: Sequence[Limit]) -> str:
    """What `launch` is told: `NAME:SOFT:HARD` for each; a soft limit `-` stays as it is."""
    declared = dict(limits)
    wanted = {name: much for name, much in DEFAULTS.items() if not _not_kept(name)} | declared
    words = ["RLIMIT_CORE:0:0"]  # 1
    for name, much in sorted(wanted.items()):
        if much:
            soft = "-" if name == "files" and name not in declared else str(much)  # 3
            words.append(f"{_KINDS[name]}:{soft}:{much + (name == 'cpu')}")  # 4
    return " ".join(words)


def died_of(status: int | None, limits: Sequence[Limit]) -> str:
    """The limit that a server with this status died of, as it was declared; empty when nothing says so."""
    name = _SIGNALS.get(-status) if status is not None and status < 0 else None
    return limit_words([one for one in limits if one[0] == name])


def _not_kept(name: str) -> str:
    if name == "memory" and not sys.platform.startswith("linux"):
        return "only Linux keeps a limit of a process's private data"
    if name == "processes" and os.geteuid() == 0:
        return "the system does not count the processes of root"
    return ""
