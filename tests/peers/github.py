"""A stand-in for GitHub: installations of one App, answered as its documentation says of version 2022-11-28.

As a process (`python -m tests.peers.github`) it can be killed (`tests.peers.storing`).
It checks what GitHub is documented to check: the App's JWT (RS256, its times, its issuer), which repositories
and permissions an installation has, and which tokens live. It proves nothing of what GitHub does.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tests.peers.answering import Answering, Asked, Said, answering
from tests.peers.storing import StoringPeer

if TYPE_CHECKING:
    from collections.abc import Iterator


APP: Final = "Iv23-app"
INSTALLATION: Final = 42
_BAD: Final = Said(401, {"message": "Bad credentials", "status": "401"})
_GIVES: Final = f"/app/installations/{INSTALLATION}/access_tokens"


def app_key() -> str:
    """A private key as GitHub gives one."""
    key = rsa.generate_private_key(65537, 2048)
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(kind, form, serialization.NoEncryption()).decode()


def instant(later: float) -> str:
    """So many seconds from now, as GitHub writes it."""
    return datetime.fromtimestamp(time.time() + later, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Github:
    """The stand-in."""

    key: str
    repositories: tuple[str, ...] = ("orders", "web")
    permissions: dict[str, str] = field(default_factory=lambda: {"contents": "write", "issues": "write"})
    live: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By token that lives: its repositories."""
    given: list[str] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)
    """What of the next answers with a token is otherwise."""
    instead: dict[tuple[str, str], Said] = field(default_factory=dict)
    """By verb and path: what is answered instead."""
    there: Answering | None = None

    @property
    def address(self) -> str:
        assert self.there is not None
        return f"{self.there.base}/"

    def answer(self, asked: Asked) -> Said:
        path = asked.path.partition("?")[0]
        kind, _, token = asked.headers.get("authorization", "").partition(" ")
        if kind != "Bearer":
            return _BAD
        if (asked.verb, path) in self.instead:
            return self.instead[asked.verb, path]
        return self._said(asked, path, token)

    def _said(self, asked: Asked, path: str, token: str) -> Said:
        if (asked.verb, path) == ("POST", _GIVES):
            return self._give(token, json.loads(asked.body))
        if token not in self.live:
            return _BAD
        if (asked.verb, path) == ("DELETE", "/installation/token"):
            del self.live[token]
            return Said(204)
        if (asked.verb, path) == ("GET", "/installation/repositories"):
            rows = [{"name": one} for one in self.live[token]]
            return Said(200, {"total_count": len(rows), "repositories": rows[:1]})
        return Said(404, {"message": "Not Found"})

    def _give(self, proof: str, body: dict[str, Any]) -> Said:
        try:
            claims = jwt.decode(proof, RSAKey.import_key(self.key), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return Said(401, {"message": "A JSON web token could not be decoded"})
        now = time.time()
        if claims["iss"] != APP or not now < claims["exp"] <= now + 600 or claims["iat"] > now:
            return Said(401, {"message": "'Expiration time' claim ('exp') is too far in the future"})
        if not {*body["repositories"]} <= {*self.repositories}:
            return Said(422, {"message": "There is at least one repository that does not exist"})
        wanted = body["permissions"].items()
        if any(self.permissions.get(name) not in {level, "write"} for name, level in wanted):
            return Said(422, {"message": "The permissions requested are not granted to this installation."})
        token = f"ghs_{secrets.token_hex(20)}"
        self.live[token] = tuple(body["repositories"])
        self.given.append(token)
        said = {
            "token": token,
            "expires_at": instant(3_600 - OLD),
            "permissions": {**body["permissions"], "metadata": "read"},
            "repository_selection": "selected",
            "repositories": [{"name": one, "full_name": f"acme/{one}"} for one in body["repositories"]],
            **self.changes,
        }
        return Said(201, {name: one for name, one in said.items() if one is not None})


OLD = 40
"""Seconds before now that tokens say they were given: what is new is not known everywhere at GitHub's."""


@contextmanager
def github(key: str) -> Iterator[Github]:
    """The stand-in, while it runs."""
    found = Github(key)
    with answering(found.answer) as there:
        found.there = there
        yield found


class HubPeer(StoringPeer):
    """The same as a process."""

    def __init__(self, key: str) -> None:
        """Start it."""
        super().__init__([sys.executable, "-m", __spec__.name], {"key": key})

    def tokens(self) -> dict[str, int]:
        """By token that lives there: the second in which it ends."""
        return {name: int(one["ends"]) for name, one in list(self.stored.items())}


@contextmanager
def hub(key: str) -> Iterator[HubPeer]:
    """The process, while it runs."""
    found = HubPeer(key)
    try:
        yield found
    finally:
        found.end()


def _serve() -> None:
    told = json.loads(sys.stdin.readline())
    found, said = Github(told["key"], (*Github.repositories, "taskbound-canary")), threading.Lock()
    ends = {token: one["ends"] for token, one in told["stored"].items()}
    found.live = {token: tuple(one["repositories"]) for token, one in told["stored"].items()}

    def answer(asked: Asked) -> Said:
        with said:
            before = dict(found.live)
            answered = found.answer(asked)
            for token in before.keys() - found.live.keys():
                _say("stored", key=token, payload=None)
            for token in found.live.keys() - before.keys():
                ends[token] = time.time() + 3_600
                _say("stored", key=token, payload={"ends": ends[token], "repositories": found.live[token]})
            _say(asked.path, status=answered.status)
        return answered

    with answering(answer, port=told["port"]) as there:
        print(there.base, flush=True)  # noqa: T201 - it is told so
        sys.stdin.read()


def _say(path: str, **more: Any) -> None:
    print(json.dumps({"path": path, **more}), flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    _serve()
