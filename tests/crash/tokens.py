"""Systems whose tokens have no name, in which a daemon's broker mints while something is killed.

1. Tokens are counted there, with their ends, by what the system stores. Who was handed one comes to the
   system with it, and is let in or not by what it answers.
2. What a kill loses lives on, and its row says until when (`tests.crash.minting`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable
from urllib.parse import urlencode

from joserfc.jwk import ECKey

from taskbound.core.target import GithubAccess, OauthAccess
from taskbound.core.tool.oauth.token import EXCHANGE
from tests.peers.authorizing import SECRET, client_of, where_at
from tests.peers.cutting import Cutting, CuttingPort
from tests.peers.github import APP, INSTALLATION, HubPeer, app_key, hub
from tests.peers.provider import GUARD, ProviderPeer, provider
from tests.wiring.broking import Declared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from taskbound.ports.target import Minted
    from tests.crash.grounds import Ground, Part


OURS: Final = "https://taskbound.example"
RESOURCE: Final = "https://api.example/orders"
_PATIENCE: Final = 10.0


@runtime_checkable
class Nameless(Protocol):
    """A system (`tests.crash.grounds.Ground`) in which nothing has a name of ours."""

    lasts: int
    """Seconds that anything lives there at most."""

    def live(self) -> list[int]:
        """Of each token that lives there, the second in which it ends (rule 1)."""


@dataclass
class _TokenGround:
    """What both have."""

    way: CuttingPort
    lasts: int
    opened: int = 0
    parts: tuple[Part, ...] = ("system",)
    renews: bool = False
    held: list[str] = field(default_factory=list)
    """Tokens that somebody was let in with."""

    @property
    def ways(self) -> Mapping[str, Cutting]:
        return {"target": self.way}

    @property
    def beside(self) -> tuple[Declared, ...]:
        return ()

    def names(self) -> set[str]:
        """Nothing has one."""
        return set()

    def hold(self, minted: Minted) -> None:
        (token,) = minted.secret.values()
        if self.lets_in(token):
            self.held.append(token)
            self.opened += 1

    def require_over(self) -> None:
        assert not [one for one in self.held if self.lets_in(one)], "somebody is let in still"
        self.held.clear()

    def lets_in(self, token: str) -> bool:
        """Whether the system says that it is one."""
        raise NotImplementedError

    def stop_at(self, step: str, strike: Callable[[], None]) -> AbstractContextManager[None]:
        raise NotImplementedError(f"a server has no {step} at which {strike} could be called")


@dataclass
class ServerGround(_TokenGround):
    """An authorization server."""

    server: ProviderPeer = field(kw_only=True)
    key: str = field(kw_only=True, default="")
    """What statements of subjects are signed with; empty where it knows the client alone."""

    @property
    def declared(self) -> Declared:
        base = f"http://127.0.0.1:{self.way.port}"
        where = where_at(base, lasts=self.lasts)
        if self.key:
            where |= {"method": "private_key_jwt", "issuer": base, "subject_issuer": OURS}
        file = _file("crm", "oauth", where, {"resource": RESOURCE, "scopes": ["orders:read"]})
        return Declared(file, OauthAccess(secret=self.key or SECRET))

    def live(self) -> list[int]:
        return sorted(self.server.tokens().values())

    def lets_in(self, token: str) -> bool:
        pair = b64encode(":".join(GUARD).encode()).decode()
        headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({"token": token})
        _, said = _asked(self.server.port, "POST", "/token/introspection", headers, body)
        assert isinstance(said["active"], bool), said
        return said["active"]

    def kill(self, part: Part) -> None:
        assert part == "system"
        self.server.kill()

    def bring_back(self, part: Part) -> None:
        assert part == "system"
        self.server.start_again()


@dataclass
class HubGround(_TokenGround):
    """The stand-in for GitHub."""

    hub: HubPeer = field(kw_only=True)
    key: str = field(kw_only=True)

    @property
    def declared(self) -> Declared:
        address = f"http://127.0.0.1:{self.way.port}/"
        where = {"app": APP, "installation": INSTALLATION, "address": address}
        reader = {"repositories": ["orders"], "permissions": {"contents": "read"}}
        return Declared(_file("hub", "github", where, reader), GithubAccess(key=self.key))

    def live(self) -> list[int]:
        return sorted(self.hub.tokens().values())

    def lets_in(self, token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        status, _ = _asked(self.hub.port, "GET", "/installation/repositories", headers)
        assert status in {200, 401}
        return status == 200

    def kill(self, part: Part) -> None:
        assert part == "system"
        self.hub.kill()

    def bring_back(self, part: Part) -> None:
        assert part == "system"
        self.hub.start_again()


def _file(name: str, kind: str, where: Mapping[str, Any], reader: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "target": name,
        "kind": kind,
        "where": dict(where),
        "owner": "alice",
        "approvers": ["alice"],
        "credentials": {"reader": {"for": "Reads orders.", "seconds": 600, **reader}},
    }


def _asked(
    port: int, verb: str, path: str, headers: Mapping[str, str], body: str | None = None
) -> tuple[int, dict[str, Any]]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)) as asking:
        asking.request(verb, path, body, dict(headers))
        answer = asking.getresponse()
        return answer.status, json.load(answer)


@contextmanager
def on_server(folder: Path) -> Iterator[Ground]:  # noqa: ARG001 - the way to it is a port
    """An authorization server, and the way to its port."""
    with (
        provider(client=client_of(), resources=[RESOURCE], scopes="orders:read") as server,
        CuttingPort(server.port) as way,
    ):
        yield ServerGround(way, 600, server=server)


@contextmanager
def on_exchange(folder: Path) -> Iterator[Ground]:  # noqa: ARG001 - as above
    """An authorization server that gives tokens for statements, and the way to its port."""
    made = ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"})
    public = {"keys": [made.as_dict(private=False)]}
    client = client_of("private_key_jwt", jwks=public, grant_types=["client_credentials", EXCHANGE])
    del client["client_secret"]
    with (
        CuttingPort() as way,
        provider(
            client=client,
            resources=[RESOURCE],
            scopes="orders:read",
            states={"issuer": OURS, "keys": public, "known_as": f"http://127.0.0.1:{way.port}"},
        ) as server,
    ):
        way.leads_to(server.port)
        yield ServerGround(way, 600, server=server, key=json.dumps(made.as_dict(private=True)))


@contextmanager
def on_hub(folder: Path) -> Iterator[Ground]:  # noqa: ARG001 - as above
    """A stand-in for GitHub, and the way to its port."""
    key = app_key()
    with hub(key) as there, CuttingPort(there.port) as way:
        yield HubGround(way, 3_660, hub=there, key=key)
