"""A gateway that was taken over: a process that says to daemon and egress whatever it is told to.

Run it: ``python hostile.py DAEMON EGRESS [AGENT]``. Each line of its input is one step, a JSON array:
``["daemon", ASK]`` asks the daemon, ``["person"]`` says to it that this is a person's command line,
``["open", NAME]`` connects to the egress, ``["say", NAME, ASK]`` says that and nothing waits, ``["burst",
NAME, ASK, COUNT]`` says it so often at once, ``["hear", NAME]`` is the next message, or null once the
egress has closed. It answers each step with a line.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from taskbound import __version__
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.wire.connection import Fault, Open
from taskbound.wire.envelope import Ask

PATIENCE = 30.0


def dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def exactly(one: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count and (piece := one.recv(count - len(found))):
        found += piece
    return found


def main() -> int:
    daemon, egress, agent = (*sys.argv[1:4], "coder")[:3]
    client: Client | None = None
    people: list[Client] = []
    open_: dict[str, socket.socket] = {}

    def step(kind: str, *more: Any) -> Any:
        nonlocal client
        match kind, more:
            case "daemon", (ask,):
                if client is None:
                    hello = Open(role="gateway", version=__version__, agent=agent)
                    client = Client(Path(daemon), hello, patience=PATIENCE)
                try:
                    said = client.ask_any(msgspec.json.decode(dump(ask), type=Ask))
                except RefusedByDaemonError as error:
                    said = error.fault
                return json.loads(msgspec.json.encode(said)) | (
                    {"is": "fault"} if isinstance(said, Fault) else {}
                )
            case "person", ():
                people.append(Client(Path(daemon), Open(role="cli", version=__version__), patience=PATIENCE))
            case "open", (name,):
                open_[name] = one = socket.socket(socket.AF_UNIX)
                one.settimeout(PATIENCE)
                one.connect(egress)
            case "say", (name, ask):
                body = ask.encode() if isinstance(ask, str) else dump(ask).encode()
                open_[name].sendall(len(body).to_bytes(4, "big") + body)
            case "burst", (name, ask, count):
                body = dump(ask).encode()
                open_[name].sendall((len(body).to_bytes(4, "big") + body) * count)
            case "hear", (name,):
                length = int.from_bytes(exactly(open_[name], 4), "big")
                return json.loads(exactly(open_[name], length)) if length else None
        return "done"

    for line in sys.stdin:
        sys.stdout.write(json.dumps(step(*json.loads(line))) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
