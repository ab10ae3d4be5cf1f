"""A service in processes of its own, behind a daemon, an API and an agent that was permitted something."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from taskbound.core.action import canonical
from tests.house.tree import ROOT
from tests.peers.ports import free_port
from tests.surfaces.network import asking

NUMBERS = count()
PAYING = ROOT / "tests" / "peers" / "paying.py"
SAYING = ROOT / "tests" / "peers" / "saying.py"
TAKING = ROOT / "tests" / "peers" / "taking.py"
SPEAKING = ("mcp", "fastmcp")
"""Kinds of services that are servers of MCP, one for each library."""


class Paying:
    """One process of a service."""

    def __init__(self, **told: Any) -> None:
        kind = told["kind"]
        program = SAYING if kind in SPEAKING else TAKING if kind in {"function", "coroutine"} else PAYING
        self.process = subprocess.Popen(
            [sys.executable, str(program), json.dumps(told)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()
        self.book = Path(told["book"])
        self.tls: ssl.SSLContext | None = None

    def ask(
        self, body: bytes, *tokens: str, path: str = "/pay", head: tuple[str, ...] = ()
    ) -> tuple[int, dict[str, str], Any]:
        """The answer to a request with this body: status, headers and what it says."""
        kinds = [one for one in head if one.lower().startswith("content-type:")]
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: pay.example",
            *(f"Txn-Token: {one}" for one in tokens),
            f"Content-Length: {len(body)}",
            *(() if kinds else ("Content-Type: application/json",)),
            "Connection: close",
            *head,
        ]
        return self.whole("\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body)

    def whole(self, sent: bytes) -> tuple[int, dict[str, str], Any]:
        """The answer to these bytes, which ends with the connection."""
        raw = b""
        with socket.create_connection(("127.0.0.1", int(self.said)), timeout=20) as plain:
            name = "localhost"
            with plain if self.tls is None else self.tls.wrap_socket(plain, server_hostname=name) as one:
                one.sendall(sent)
                while piece := one.recv(65536):
                    raw += piece
        told, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = told.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = unchunked(body)
        try:
            return int(first.split()[1]), headers, json.loads(body)
        except ValueError:
            return int(first.split()[1]), headers, body

    def runs(self) -> list[str]:
        """The transactions that were done, once for each time."""
        return self.book.read_text().split() if self.book.exists() else []

    def end(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + body[:length], body[length + 2 :]
    return whole


class World:
    """A daemon, its API, an agent with a task, and services that take what it was permitted."""

    def __init__(self, one: asking.Asking, origin: str, folder: Path) -> None:
        self.one, self.origin, self.folder = one, origin, folder
        self._services: list[Paying] = []

    def service(self, kind: str = "asgi", **told: Any) -> Paying:
        plain = {
            "kind": kind,
            "issuer": self.origin,
            "domain": "corp.example",
            "claims": str(self.folder / "service" / "claims.db"),
            "book": str(self.folder / "book"),
            "socket": str(self.one.socket),
        }
        found = Paying(**(plain | told))
        self._services.append(found)
        return found

    def close(self) -> None:
        services, self._services = self._services, []
        for one in services:
            if one.process.poll() is None:
                one.end()
            if one.process.stdout is not None:
                one.process.stdout.close()

    def permit(self, text: str, body: bytes = b"", **more: Any) -> dict[str, Any]:
        """What the API answers to a request for this action, and for this body where there is one."""
        told: dict[str, Any] = {"tool": "echo__say", "arguments": {"text": text}, "token": True, **more}
        if body:
            told["content_digest"] = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
        shown = self.one.token()
        answer = self.one.there.ask(
            "POST",
            "/v1/actions",
            json.dumps(told).encode(),
            Host=self.origin.removeprefix("http://"),
            Authorization=f"DPoP {shown}",
            DPoP=self.one.dpop("/v1/actions", "POST", shown),
            Idempotency_Key=f"guarding-{next(NUMBERS)}",
        )
        return {"status": answer.status, **answer.json}

    def permitted(self, word: str = "hello") -> tuple[bytes, str]:
        """A body that nobody asked for before, and the token of its permit."""
        text = f"{word} {next(NUMBERS)}"
        body = canonical({"text": text})
        found = self.permit(text, body)
        assert found["status"] == 200, found
        return body, str(found["token"])


@contextmanager
def asking_as(patch: pytest.MonkeyPatch, origin: str) -> Iterator[None]:
    patch.setattr(asking, "ISSUER", origin)
    patch.setattr(asking, "HOST", origin.removeprefix("http://"))
    yield


@contextmanager
def opened(folder: Path) -> Iterator[World]:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    told = ("--trust-domain", "corp.example")
    with (
        pytest.MonkeyPatch.context() as patch,
        asking_as(patch, origin),
        asking.asking(folder, "--address", f"127.0.0.1:{port}", told=told) as one,
    ):
        found = World(one, origin, folder)
        try:
            yield found
        finally:
            found.close()
