"""A gateway's connection to a real daemon that asks for what it is told, line by line."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskbound.wiring.home import find_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.surfaces.cli.installation import Installation


AGENT = """
import json, sys
from pathlib import Path
import msgspec
from taskbound import __version__
from taskbound.sdk.client import Client
from taskbound.wire.action import Decide, Outcome, Permitted
from taskbound.wire.connection import Open
client = Client(Path(sys.argv[1]), Open(role="gateway", version=__version__, agent="helper"))
for number, line in enumerate(sys.stdin):
    words = json.loads(line)
    if "outcome" in words:
        print(type(client.ask_any(Outcome(**words))).__name__, flush=True)
        continue
    text = json.dumps({"path": words["path"]}, separators=(",", ":"), ensure_ascii=False)
    arguments = msgspec.Raw(text.encode())
    answer = client.ask_any(Decide(tool="fs__write", arguments=arguments, request=str(number)))
    told = msgspec.to_builtins(answer)
    print(json.dumps({"is": type(answer).__name__} | told), flush=True)
"""


class Asking:
    """What is told to it, and what it answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextmanager
def asking(place: Installation) -> Iterator[Asking]:
    """The agent `helper`, that calls `fs__write`."""
    socket = str(find_socket(place.home))
    with subprocess.Popen(
        [sys.executable, "-c", AGENT, socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Asking(process)
        process.kill()
