"""A program that says to a daemon that it is a person, an egress and a broker; it says what came of each.

Run it: ``python poser.py SOCKET``. Its answer is a JSON object: by role, the code of the refusal or `Opened`.
It begins once it is told a line, or that there is none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from taskbound import __version__
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.wire.connection import Done, Open
from taskbound.wire.token import Stop

ROLES = ("broker", "cli", "egress")


def posed(socket: Path, role: str) -> str:
    """What comes of it."""
    try:
        with Client(socket, Open(role=role, version=__version__), patience=20.0) as one:
            if role == "cli":
                one.ask(Stop(stopped=False), Done)
    except RefusedByDaemonError as error:
        return error.fault.code
    return "Opened"


if __name__ == "__main__":
    sys.stdin.readline()
    found = {role: posed(Path(sys.argv[1]), role) for role in ROLES}
    sys.stdout.buffer.write(msgspec.json.encode(found))
