"""An agent's program that asks for credentials: each line of its input is one request.

Run it: ``python asking.py SOCKET AGENT TOOL``. A line is the request's number, and where the program is
killed on its way: ``permitted``, ``handed``, or nothing. The answer is one JSON object, with what was minted
in `open` and `secret`, or with the `code` of why not. Each request has a connection of its own, which stays
open until the input ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from taskbound import __version__
from taskbound.adapters.keys.handing import AskerKey
from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.wire.action import Decide, Permitted
from taskbound.wire.connection import Done, Open
from taskbound.wire.credential import AcknowledgeCredential, Handed, TakeCredential

_kept: list[Client] = []


def main(path: Path, agent: str, tool: str) -> None:
    """Answer until there is nothing more to read."""
    for line in sys.stdin:
        try:
            number, _, until = line.strip().partition(" ")
            said = _ask(path, agent, tool, number, until)
        except RefusedByDaemonError as error:
            said = {"code": error.fault.code}
        except TaskboundError as error:
            said = {"code": error.code}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _ask(path: Path, agent: str, tool: str, number: str, until: str) -> dict[str, Any]:
    client = Client(path, Open(role="gateway", version=__version__, agent=agent), patience=20.0)
    _kept.append(client)
    key = AskerKey.generate()
    arguments = msgspec.Raw(b'{"seconds":%d}' % (300 + int(number) % 300))  # no repeat of one that is unknown
    asked = Decide(tool=tool, arguments=arguments, request=number, recipient=key.public)
    name = client.ask(asked, Permitted).credential
    if until == "permitted":
        _kill()
    handed = client.ask(TakeCredential(credential=name), Handed)
    if until == "handed":
        _kill()
    minted = key.open(handed.sealed, namespace="default", target=tool.partition("__")[0], credential=name)
    client.ask(AcknowledgeCredential(credential=name), Done)
    return {"credential": name, "open": dict(minted.open), "secret": dict(minted.secret)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
