"""What the suite is let loose on: the tests' own server and client, and a relay to what qualifies names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PEERS: Final = Path(__file__).parents[1] / "peers"
EVERYTHING: Final = (sys.executable, str(_PEERS / "everything.py"))
"""The command of the server that has all that the suite asks for; `--stdio` serves standard input instead."""
THROUGH: Final = (sys.executable, "-m", "tests.peers.through")
"""The official client behind the whole gateway: a data directory comes behind it, and its server's URL."""


@contextmanager
def everything(*options: str) -> Iterator[str]:
    """The URL of the server, while it runs."""
    with _serving([*EVERYTHING, *options]) as url:
        yield url


@contextmanager
def relayed(url: str, prefix: str, token: str = "", resource: str = "") -> Iterator[str]:
    """The URL of a relay to a server whose names begin with `prefix`.

    It sends the token, if any, and shows it with proofs where the address is said that it is for.
    """
    told = {"RELAY_BEARER": token, "RELAY_RESOURCE": resource, "PYTHONPATH": str(_PEERS.parents[1])}
    with _serving([sys.executable, str(_PEERS / "relay.py"), url, prefix], **told) as own:
        yield own


@contextmanager
def bridged(command: Sequence[str]) -> Iterator[str]:
    """The URL of a bridge to a command that speaks MCP over stdio, which ends with it."""
    with _serving([sys.executable, str(_PEERS / "bridge.py"), *command]) as own:
        yield own


@contextmanager
def _serving(command: Sequence[str], **environment: str) -> Iterator[str]:
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    try:
        url = running.stdout.readline().strip() if running.stdout is not None else ""
        if not url:
            raise RuntimeError(f"`{command[1]}` ended before it served")
        yield url
    finally:
        running.terminate()
        running.communicate()
