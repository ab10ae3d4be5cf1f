"""`/v1/actions` over HTTP: asked for with DPoP, decided and recorded durably; the outcome told the same way.

A real daemon, and the API's process before it (`api_echo.py`); TLS is off for all. *Echo* is the same body
with the same headers at the same process, read by the same reader of HTTP and given back: nothing is proven,
asked or written. *Ask* has a proof of its own for each request, made before the turn; the proof is used
durably, and then the action is decided and recorded durably, before the answer. *Outcome* is what came of
those actions, told with proofs of their own. They take turns. So many connections have one request each. CPU
is that of API and daemon, a request; the signer has nothing to do. Client, API and daemon share the cores.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from dev.benchmarks.api_echo import ECHO
from dev.benchmarks.clients import Clients, Timed, api_at, timed
from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import micro, percentile, rate
from taskbound.wiring.home import make_home
from tests.postgres import running
from tests.surfaces.network.asking import HOST, Asking
from tests.surfaces.network.serving import Api
from tests.token_world import ISSUER
from tests.wiring.running import Running, daemon

if TYPE_CHECKING:
    from collections.abc import Sequence


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_CLIENTS: Final = (1, 16, 64)
_P99: Final = 0.99
_PATIENCE: Final = 30.0
_UNPACED: Final = ("--asks-burst", "100000", "--asks-rate", "100000")
_WORKS: Final = ("echo", "ask", "outcome")
_BODY: Final = b'{"tool":"echo__say","arguments":{"text":"pay 120.50 to the order of bob"}}'
_OUTCOME: Final = b'{"outcome":"succeeded","answer":{"content":[{"type":"text","text":"done"}]}}'


class _Ground:
    """A daemon with an agent's task, and the API before it."""

    def __init__(self, folder: Path, stack: ExitStack, *flags: str) -> None:
        home = folder / "home"
        make_home(home)
        process: Running = stack.enter_context(daemon(home, *_UNPACED, "--issuer", ISSUER, *flags))
        api, port = stack.enter_context(api_at(home, folder))
        there = Api(process=process, port=port, origin=ISSUER)
        self._asking = Asking(there, process, home, folder)
        self._clients = Clients(port)
        stack.callback(self._clients.close)
        self._pids = (api.pid, process.process.pid)
        self._keys = count()

    def turn(self, found: dict[tuple[str, int], Timed], clients: int, pieces: int) -> None:
        """One turn of each work at so many connections."""
        token = self._asking.token()
        plain = [self._request(token, "/v1/actions", _BODY, key=ECHO) for _ in range(pieces)]
        self._timed(found["echo", clients], plain, clients)
        asks = [self._request(token, "/v1/actions", _BODY, key=f"k{next(self._keys)}") for _ in range(pieces)]
        bodies = self._timed(found["ask", clients], asks, clients)
        actions = [json.loads(one)["action"] for one in bodies]
        token = self._asking.token()
        told = [self._request(token, f"/v1/actions/{one}/outcome", _OUTCOME) for one in actions]
        self._timed(found["outcome", clients], told, clients)

    def _timed(self, one: Timed, requests: Sequence[bytes], clients: int) -> list[bytes]:
        return timed(one, self._clients, requests, self._pids, at_once=clients)

    def _request(self, token: str, target: str, body: bytes, *, key: str = "") -> bytes:
        proof = self._asking.dpop(target, "POST", token)
        head = (
            f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"Authorization: DPoP {token}\r\nDPoP: {proof}\r\nContent-Length: {len(body)}\r\n"
        )
        if key:
            head += f"Idempotency-Key: {key}\r\n"
        return f"{head}\r\n".encode() + body


def measure_actions(*, quick: bool) -> Section:
    """The section."""
    turns, pieces = (2, {1: 60, 16: 160, 64: 320}) if quick else (4, {1: 150, 16: 400, 64: 800})
    rows: list[tuple[str, ...]] = []
    numbers: dict[str, float] = {}
    for store in ("SQLite", "PostgreSQL"):
        found = {(work, clients): Timed() for clients in _CLIENTS for work in _WORKS}
        with tempfile.TemporaryDirectory(prefix="tb-") as folder, ExitStack() as stack:
            flags: tuple[str, ...] = ()
            if store == "PostgreSQL":
                server = stack.enter_context(running(memory=False))
                flags = ("--store", server.url(server.database()))
            ground = _Ground(Path(folder), stack, *flags)
            ground.turn({key: Timed() for key in found}, 16, 64)
            for _ in range(turns):
                for clients in _CLIENTS:
                    ground.turn(found, clients, pieces[clients])
        for (work, clients), one in found.items():
            if work == "echo" and store != "SQLite":
                continue
            rows.append(_row(store, work, clients, one))
            numbers[f"{store} {work} {clients}"] = median(one.waits)
            numbers[f"{store} {work} {clients} rate"] = median(one.rates)
            numbers[f"{store} {work} {clients} cpu"] = median(one.processor)
    head = ("store", "work", "at once", "a second", "p50 µs", "p99 µs", "CPU µs")
    return Section(
        name="actions",
        title="Asking for actions over HTTP",
        method=_METHOD,
        tables=(Table(head=head, rows=tuple(rows)),),
        numbers=numbers,
    )


def _row(store: str, work: str, clients: int, one: Timed) -> tuple[Any, ...]:
    return (
        "" if work == "echo" else store,
        work,
        str(clients),
        rate(median(one.rates)),
        micro(median(one.waits)),
        micro(percentile(one.waits, _P99)),
        micro(median(one.processor)),
    )
