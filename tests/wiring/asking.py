"""A gateway in a process of its own that asks for credentials; it is told how on standard input.

    python asking.py SOCKET AGENT      a line of JSON for each: {"number": 1, "tool": "…", "arguments": {…}}

It answers in lines: what was permitted, then what was handed out and acknowledged, or with which code not. Of
a renewal it is what was permitted, then when it ends.
With `"dies": "permitted"` or `"handed"` it is killed on its way, right after that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from taskbound import __version__
from taskbound.adapters.keys.sealing import AskerKey
from taskbound.core.action import canonical
from taskbound.core.credential import credential_of
from taskbound.core.errors import TaskboundError
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.wire.action import Decide, Permitted
from taskbound.wire.connection import Done, Open
from taskbound.wire.target import AcknowledgeCredential, AwaitRenewal, Handed, Renewed, TakeCredential

_turn = threading.Lock()
_kept: list[Client] = []


def say(number: int, **words: Any) -> None:
    with _turn:
        sys.stdout.write(json.dumps({"number": number, **words}) + "\n")
        sys.stdout.flush()


def die(wanted: dict[str, Any], at: str) -> None:
    if wanted.get("dies") == at:
        os.kill(os.getpid(), signal.SIGKILL)


def wait(one: Client, credential: str) -> int:
    """When it ends, once the broker told that, however often that has to be asked for."""
    while True:
        try:
            return one.ask(AwaitRenewal(credential=credential), Renewed, patience=30.0).ends
        except RefusedByDaemonError as error:
            if error.fault.code != "still-renewing":
                raise


def get(socket: Path, agent: str, wanted: dict[str, Any]) -> None:
    number, key = wanted["number"], AskerKey.generate()
    renews = wanted["arguments"].get("renews", "")
    try:
        one = Client(socket, Open(role="gateway", version=__version__, agent=agent), patience=30.0)
        _kept.append(one)
        ask = Decide(
            tool=wanted["tool"],
            arguments=msgspec.Raw(canonical(wanted["arguments"])),
            request=str(number),
            recipient="" if renews else key.public,
        )
        if renews:
            say(number, permitted=one.ask(ask, Permitted).credential)
            say(number, renewed=wait(one, renews))
            return
        credential = credential_of(one.ask(ask, Permitted).action)
        say(number, permitted=credential)
        die(wanted, "permitted")
        handed = one.ask(TakeCredential(credential=credential), Handed, patience=30.0)
        die(wanted, "handed")
        target = wanted["tool"].split("__")[0]
        minted = key.open(handed.sealed, namespace="default", target=target, credential=credential)
        if wanted.get("acknowledges", True):
            one.ask(AcknowledgeCredential(credential=credential), Done)
        say(number, credential=credential, open=dict(minted.open), secret=dict(minted.secret))
    except RefusedByDaemonError as error:
        say(number, code=error.fault.code, words=error.message)
    except TaskboundError as error:
        say(number, code=error.code, words=error.message)


if __name__ == "__main__":
    for line in sys.stdin:
        threading.Thread(
            target=get, args=(Path(sys.argv[1]), sys.argv[2], json.loads(line)), daemon=True
        ).start()
