from __future__ import annotations

import contextlib
import io
import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from joserfc.jwk import ECKey

from taskbound.wire.action import ActionRows, ListActions
from taskbound.wire.token import ListTokenKeys, RevokeTokenKey, TokenKeyRows
from tests.house.tree import ROOT
from tests.peers.ports import free_port
from tests.proofs import CLIENT
from tests.surfaces.network import asking
from tests.wiring.running import client

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

GUIDE = ROOT / "docs" / "guides" / "actions.md"


def blocks(kind: str, guide: Path = GUIDE) -> list[str]:
    """A guide's blocks of this kind."""
    return [one.partition("\n```")[0] for one in guide.read_text("utf-8").split(f"```{kind}\n")[1:]]


def test_the_guides_program_acts_on_what_is_permitted_and_tells_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(asking, "ISSUER", origin)
    monkeypatch.setattr(asking, "HOST", origin.removeprefix("http://"))
    program, use = blocks("python")
    (printed,) = [one for one in blocks("") if one.startswith("I said")]
    with asking.asking(tmp_path, "--address", f"127.0.0.1:{port}") as one:
        names: dict[str, Any] = {
            "origin": origin,
            "token": one.token(),
            "key": ECKey.import_key(cast("EllipticCurvePrivateKey", CLIENT.private)),
        }
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(f"{program}\n{use}", str(GUIDE), "exec"), names)  # noqa: S102 - our own page
        assert out.getvalue().strip() == printed.strip()
        with client(one.socket) as person:
            rows = person.ask(ListActions(), ActionRows).rows
        assert [(row.agent, row.tool, row.state) for row in rows] == [
            ("helper", "echo__say", "refused"),
            ("helper", "echo__say", "succeeded"),
        ]


@contextlib.contextmanager
def downstream(check: Callable[[Any, bytes], Any]) -> Iterator[str]:
    """A system that does what it is sent where the guide's check lets it."""

    class Checking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                told, status = json.dumps(check(self.headers, body)).encode(), 200
            except Exception as error:  # noqa: BLE001 - whatever it is refuses, as the guide says
                told, status = type(error).__name__.encode(), 403
            self.send_response(status)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Checking) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/pay"
        finally:
            server.shutdown()
            thread.join()


def sent(address: str, body: bytes, token: str | None) -> tuple[int, Any]:
    """What a system answers to this body with this transaction token, or none."""
    request = Request(address, body, {} if token is None else {"Txn-Token": token})  # noqa: S310 - our own
    try:
        with urlopen(request, timeout=20) as answer:  # noqa: S310 - our own
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, error.read().decode()


def test_a_system_downstream_takes_the_one_request_that_was_permitted_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(asking, "ISSUER", origin)
    monkeypatch.setattr(asking, "HOST", origin.removeprefix("http://"))
    (checking,) = [
        one for one in blocks("python", GUIDE.with_name("task-tokens.md")) if "def permitted" in one
    ]
    point: dict[str, Any] = {}
    system: dict[str, Any] = {}
    exec(compile(blocks("python")[0], str(GUIDE), "exec"), point)  # noqa: S102 - our own page
    exec(compile(checking, str(GUIDE), "exec"), system)  # noqa: S102 - our own page

    def check(headers: Any, body: bytes) -> Any:
        return system["permitted"](headers, body, issuer=origin, domain="corp.example", tool="echo__say")

    with (
        asking.asking(
            tmp_path, "--address", f"127.0.0.1:{port}", told=("--trust-domain", "corp.example")
        ) as one,
        downstream(check) as address,
    ):
        task_token = one.token()
        key = ECKey.import_key(cast("EllipticCurvePrivateKey", CLIENT.private))
        taskbound = point["Taskbound"](origin, task_token, key)

        send = partial(sent, address)
        body = b'{"text":"hello"}'
        plain = {"tool": "echo__say", "arguments": {"text": "hello"}, "token": True}
        told = {**plain, "content_digest": f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"}
        status, permit = taskbound.send("POST", "/v1/actions", told, **{"Idempotency-Key": "a"})
        assert status == 200, permit
        status, context = send(body, permit["token"])
        assert (status, context["action"]) == (200, permit["action"])
        assert context["action_digest"] == permit["digest"]
        assert (context["tool"], context["target"]) == ("echo__say", permit["server"])
        other = b'{"text":"something else"}'
        beside = {**plain, "content_digest": f"sha-256=:{b64encode(sha256(other).digest()).decode()}:"}
        named = taskbound.send("POST", "/v1/actions", beside, **{"Idempotency-Key": "c"})[1]["token"]
        loose = taskbound.send("POST", "/v1/actions", plain, **{"Idempotency-Key": "b"})[1]["token"]
        refusals = [
            send(b'{"text":"hell"}', permit["token"]),
            send(other, named),  # of a permit that names what nobody decided on
            send(body, loose),  # of a permit that names no request
            send(body, task_token),
            send(body, permit["token"][:-2]),
            send(body, None),
        ]
        assert [one[0] for one in refusals] == [403] * len(refusals), refusals
        with client(one.socket) as person:
            (current,) = [
                row.key for row in person.ask(ListTokenKeys(), TokenKeyRows).rows if row.state == "current"
            ]
            person.ask(RevokeTokenKey(key=current, why="lost"), TokenKeyRows)
        assert send(body, permit["token"])[0] == 403
