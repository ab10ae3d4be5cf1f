"""Findings about servers with secrets: the egress's account (its socket's owner), and empty slots."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Final

from taskbound.core.tool import parse_slot
from taskbound.surfaces.cli.screen import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from taskbound.wire.tool import UpstreamRow


_OWN: Final = (
    "the egress runs under your own account: any program of yours, an agent with a shell included, can read"
    " its key, and in /proc what its servers were started with"
)


def look_at_egress(
    servers: Iterable[UpstreamRow], socket: Path | None
) -> Iterator[tuple[str, str, str, str]]:
    """Yield findings about the egress and slots; nothing if no server has slots."""
    rows = [row for row in servers if row.spec.slots]
    if not rows:
        return
    yield _account(socket)
    for row in rows:
        for one in row.secrets:
            if not one.filled and parse_slot(one.slot).source is None:
                name = shown(row.spec.name)
                yield (
                    "warn",
                    "empty-slot",
                    f"server `{name}`: {shown(one.slot)} is empty, and so it is not started",
                    f"fill it with `taskbound upstream secret {name} {shown(one.slot)}`",
                )


def _account(socket: Path | None) -> tuple[str, str, str, str]:
    try:
        owner = socket.stat().st_uid if socket is not None else -1
    except OSError as error:
        return (
            "bad",
            "egress",
            f"the egress is not seen: {error.strerror}; servers with secrets can't be used",
            "it is started with `taskbound serve`, or by its service: see the daemon's log",
        )
    if owner == os.geteuid():
        return (
            "warn",
            "egress-account",
            _OWN,
            "install it under an account of its own: see `deploy/README.md` in Taskbound's source tree",
        )
    return (
        "ok",
        "egress-account",
        f"the egress runs under the account of {_name(owner)}: yours reads neither its key nor a secret",
        "",
    )


def _name(uid: int) -> str:
    try:
        return f"`{shown(pwd.getpwuid(uid).pw_name)}`"
    except KeyError:
        return f"account {uid}"
