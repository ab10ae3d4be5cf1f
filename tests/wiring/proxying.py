"""Real nginx and real Envoy by the files of the guide, a guard each, and a plain service behind."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import pytest

from taskbound.core.action import canonical
from tests.house.tree import ROOT
from tests.peers.ports import free_port
from tests.surfaces.network.certificates import Authority
from tests.wiring import running
from tests.wiring.guarding import NUMBERS, World, opened, unchunked
from tests.wiring.running import DEADLINE, Running, until
from tests.wiring.test_guarding_guide import registered

FOLDER = ROOT / "docs" / "examples" / "proxies"
HOST = "echo.example"
KINDS = ("nginx", "nginx-auth-request", "envoy")
FILES = {"nginx": "nginx.conf", "nginx-auth-request": "nginx-auth-request.conf", "envoy": "envoy.yaml"}
OPTIONAL = {"grants": [{"tool": "echo__say", "arguments": {"text": {"any": True}}, "optional": ["text"]}]}


@dataclass
class Seen:
    """A request as the service got it."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes


class Behind(BaseHTTPRequestHandler):
    """The service behind the proxy: it does what it is sent, and looks at nothing."""

    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        server = self.server
        assert isinstance(server, Service)
        server.seen.append(Seen(self.requestline, list(self.headers.items()), body))
        failing = self.headers.get("X-Fail")
        if failing == "cut":
            self.close_connection = True  # and says nothing
            return
        status, told = (503, b"broken") if failing else (201, b"done")
        self.send_response(status)
        self.send_header("Content-Length", str(len(told)))
        self.send_header("X-Accel-Redirect", "@permitted")  # no service's word leads anywhere
        self.end_headers()
        self.wfile.write(told)

    def _chunks(self) -> bytes:
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _do  # noqa: N815 - the names of http.server

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Service(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Behind)
        self.seen: list[Seen] = []

    def handle_error(self, *_: object) -> None:
        """A proxy that was killed: nothing is to be said."""


@dataclass
class Told:
    """An answer that a client got."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for one, value in self.headers if one.lower() == name]

    @property
    def error(self) -> str:
        """What the challenge names; empty where there is not exactly one."""
        found = self.all("www-authenticate")
        return found[0].partition('error="')[2].partition('"')[0] if len(found) == 1 else ""


@dataclass
class Front:
    """A proxy, its guard, and the service behind."""

    kind: str
    world: World
    port: int
    service: Service
    guard: Running
    file: Path
    process: subprocess.Popen[bytes]

    @property
    def whole(self) -> bool:
        """Whether it shows bodies."""
        return self.kind != "nginx-auth-request"

    def trusting(self) -> ssl.SSLContext:
        """What believes the proxy's certificate."""
        return ssl.create_default_context(cafile=self.file.parent / "authority.pem")

    @property
    def socket(self) -> Path:
        return self.file.parent / "guard.sock"

    def permitted(self, word: str = "hello") -> tuple[str, bytes, str]:
        """A request that nobody made before: method and path, body and token."""
        if self.whole:
            body, token = self.world.permitted(word)
            return "POST /say", body, token
        nothing = f"sha-256=:{b64encode(sha256(b'').digest()).decode()}:"
        found = self.world.permit("", arguments={}, content_digest=nothing)
        assert found["status"] == 200, found
        return "GET /quiet", b"", str(found["token"])

    def ask(self, line: str, body: bytes = b"", *tokens: str, head: tuple[str, ...] = ()) -> Told:
        """The answer to a request; a line of `head` takes the place of one that is sent anyway."""
        own = {one.partition(":")[0].lower() for one in head}
        length = f"Content-Length: {len(body)}"
        lines = [
            f"{line} HTTP/1.1",
            *([f"Host: {HOST}"] if "host" not in own else []),
            *(f"Txn-Token: {one}" for one in tokens),
            *([length] if body and not own & {"content-length", "transfer-encoding"} else []),
            *(["Content-Type: application/json"] if body and "content-type" not in own else []),
            "Connection: close",
            *head,
        ]
        return self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def send(self, sent: bytes) -> Told:
        """The last answer to these bytes, which ends with the connection."""
        raw = b""
        with self.connected() as one:
            one.sendall(sent)
            with suppress(ConnectionError, ssl.SSLError):
                while piece := one.recv(65536):
                    raw += piece
        return parsed(raw)

    @contextmanager
    def connected(self) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as plain,
            self.trusting().wrap_socket(plain, server_hostname=HOST) as one,
        ):
            yield one

    def ran(self, token: str) -> list[Seen]:
        """What the service did by this token."""
        return [one for one in self.service.seen if ("txn-token", token) in lowered(one.headers)]


def lowered(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers]


def parsed(raw: bytes) -> Told:
    if not raw:
        return Told(0)
    while raw.startswith(b"HTTP/1.1 100"):
        raw = raw.partition(b"\r\n\r\n")[2]
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(one.partition(":")[0], one.partition(":")[2].strip()) for one in lines]
    if ("transfer-encoding", "chunked") in lowered(headers):
        body = unchunked(body)
    return Told(int(first.split()[1]), headers, body)


class Issued(Protocol):
    """Whose tokens a guard takes."""

    @property
    def origin(self) -> str:
        """The issuer's name."""


@dataclass(frozen=True)
class Nowhere:
    """An issuer at whose address nobody listens."""

    origin: str = "http://127.0.0.1:9"


def guard_file(
    folder: Path, world: Issued, kind: str, *, holders: str = "", endpoints: str = "", **changed: str
) -> Path:
    """The guide's file for a guard, with this folder, this proxy, and lines that are changed by their key.

    Lines of more endpoints come behind its own, and those that say who holds tokens last.
    """
    text = (FOLDER / "guard.toml").read_text()
    told = {
        "proxy": f'"{kind}"',
        "listen": f'"{folder / "guard.sock"}"',
        "group": f'"{os.getegid()}"',
        "key": f'"{folder / "echo.pem"}"',
        "issuer": f'"{world.origin}"',
        "claims": f'"{folder / "claims" / "claims.db"}"',
        **changed,
    }
    lines = []
    for line in text.splitlines():
        key = line.partition("=")[0].strip()
        if kind == "nginx-auth-request" and line.startswith('"POST'):
            continue  # it has a body
        if key == "holding" and holders:
            continue
        lines.append(f"{key} = {told[key]}" if key in told else line)
    lines += [*endpoints.splitlines(), *holders.splitlines()]
    path = folder / "guard.toml"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


def proxy_file(folder: Path, kind: str, *, port: int, behind: int, changed: dict[str, str]) -> Path:
    """The guide's file for a proxy, with these places and certificates, and texts that are changed."""
    text = (FOLDER / FILES[kind]).read_text()
    authority = Authority("proxies")
    authority.write(folder / "authority.pem")
    issued = authority.issue(folder, "echo.example", name=HOST)
    places = {
        "/run/taskbound-guard/guard.sock": str(folder / "guard.sock"),
        "/etc/ssl/certs/echo.example.pem": str(issued.chain),
        "/etc/ssl/private/echo.example.key": str(issued.key),
        "server 127.0.0.1:9000": f"server 127.0.0.1:{behind}",
        "address: 127.0.0.1, port_value: 9000": f"address: 127.0.0.1, port_value: {behind}",
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "address: 0.0.0.0, port_value: 443": f"address: 127.0.0.1, port_value: {port}",
        **changed,
    }
    for old, new in places.items():
        assert old in text or old not in changed, old
        text = text.replace(old, new)
    path = folder / FILES[kind]
    path.write_text(text)
    return path


def started(folder: Path, kind: str, file: Path) -> subprocess.Popen[bytes]:
    if kind == "envoy":
        binary = str(files("envoy") / "_bin" / "envoy")
        words = [binary, "-c", str(file), "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]
    else:
        spool = "\n".join(
            f"{one}_temp_path {folder / one};" for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = folder / "main.conf"
        main.write_text(
            f"daemon off; master_process off; pid {folder / 'pid'}; events {{ worker_connections 128; }}\n"
            f"http {{ access_log off; proxy_cache_path {folder / 'cache'} keys_zone=kept:1m;\n"
            f"{spool}\ninclude {file};\n}}\n"
        )
        words = ["/usr/sbin/nginx", "-c", str(main), "-e", str(folder / "error.log")]
    log = (folder / "proxy.log").open("wb")
    with log:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)


@contextmanager
def proxied(
    world: World,
    folder: Path,
    kind: str,
    changed: dict[str, str] | None = None,
    *,
    holders: str = "",
    endpoints: str = "",
    **told: str,
) -> Iterator[Front]:
    """A proxy of this kind by the guide's file, with texts of it that are changed; `told` of the guard's."""
    registered_once(world, folder / "echo.pem")
    file = guard_file(folder, world, kind, holders=holders, endpoints=endpoints, **told)
    service, port = Service(), free_port()
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        with Running("proxied", str(file)) as guard:
            path = proxy_file(folder, kind, port=port, behind=service.server_port, changed=changed or {})
            process = started(folder, kind, path)
            try:
                found = Front(kind, world, port, service, guard, file, process)
                until(lambda: answers(found), f"{kind} answers: {(folder / 'proxy.log').read_text()[-2000:]}")
                yield found
            finally:
                process.kill()
                process.wait()
    finally:
        service.shutdown()
        thread.join()
        service.server_close()


def answers(front: Front) -> bool:
    assert front.process.poll() is None, (front.file.parent / "proxy.log").read_text()
    try:
        return front.ask("GET /livez").status == 201
    except OSError:
        return False


def registered_once(world: World, path: Path) -> None:
    """The service `echo` with its key; all guards of one world are of one service."""
    kept = world.one.home.parent / "echo-of-all.pem"
    if not kept.exists():
        registered(world, "echo", kept)
    path.write_bytes(kept.read_bytes())
    path.chmod(0o600)


@contextmanager
def optional(folder: Path) -> Iterator[World]:
    """A world whose tool may be called without arguments, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "SCOPE", OPTIONAL)
        with opened(folder) as one:
            yield one


def plain(text: str) -> bytes:
    return canonical({"text": f"{text} {next(NUMBERS)}"})


def problem(told: Told) -> Any:
    return json.loads(told.body)
