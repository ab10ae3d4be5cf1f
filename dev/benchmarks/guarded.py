"""A guarded function of a program's own: what a call costs in the program, over the socket and over HTTP.

A real daemon with SQLite, its signer, and the API's process before it without TLS; one caller, which
blocks. *Bare* is the function alone; *there and back* writes the arguments as what is decided and reads
them back. *A ping* is one question over the same kind of connection that is answered and nothing else;
`/livez` the same of the API, over a connection that stays. *Guarded* is the whole call: asked, decided and
recorded durably, run, its outcome told and recorded durably; over HTTP each of the two with a proof of its
own. *Carried* is that, and a transaction token for the service that would act (`carry`), which is an
exchange with proofs of its own, and is signed by another process. What goes over HTTP takes turns first,
then the rest: a program that acts over the socket is the agent's from then on, and with it the API that it
has started. CPU is the program's own.
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import httpx2

from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.sdk.guard.carried import carry
from taskbound.sdk.guard.client import Client
from taskbound.sdk.guard.guarded import guard
from taskbound.sdk.guard.proof import Proof
from taskbound.sdk.guard.signature import Signature
from taskbound.sdk.guard.speaker import ClientSettings
from taskbound.wire.connection import Done, Ping
from tests.sdk.notes import Here
from tests.surfaces.network import asking
from tests.wiring import running
from tests.wiring.running import AGENT, client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dev.benchmarks.sampling import Timed


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_UNPACED: Final = ("--asks-burst", "100000", "--asks-rate", "100000")
_UNLIMITED: Final = ("--burst", "1000000", "--rate", "1000000")


@guard(server="echo", effect="read")
def say(text: str) -> str:
    """Says it."""
    return text


def measure_guarded(*, quick: bool) -> Section:
    """The section."""
    turns, pieces = (3, 20) if quick else (11, 100)
    timed: dict[str, Timed] = {}
    with _works() as some:
        for works in some:
            timed |= by_turns(works, turns=turns, pieces=pieces)
    rows = [(name, micro(one.median), micro(one.p99), micro(one.cpu)) for name, one in timed.items()]
    return Section(
        name="guarded",
        title="A function of one's own, asked for before it runs",
        method=_METHOD,
        tables=(Table(head=("work", "p50 µs", "p99 µs", "CPU µs"), rows=tuple(rows)),),
        numbers={name: one.median for name, one in timed.items()},
    )


@contextmanager
def _works() -> Iterator[tuple[dict[str, Callable[[], object]], ...]]:
    """What takes turns, while daemon and API are there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    names, tool = vars(asking), vars(running)  # the API is known by another name here, and has this function
    kept = {"ISSUER": names["ISSUER"], "HOST": names["HOST"]}, {"TOOL": tool["TOOL"]}
    names |= {"ISSUER": origin, "HOST": f"127.0.0.1:{port}"}
    tool |= {"TOOL": dict(say.definition)}
    try:
        with (
            TemporaryDirectory(prefix="taskbound-guarded-") as folder,
            asking.asking(Path(folder), "--address", f"127.0.0.1:{port}", *_UNLIMITED, told=_UNPACED) as one,
            client(one.socket) as plain,
            httpx2.Client(base_url=origin, trust_env=False) as web,
        ):
            proof = Proof(kind="assertion", read=one.assertion)
            here = Here(socket=one.socket, agent=AGENT, clock=time.time)
            near = Client(ClientSettings(task=one.task), here)
            afar = Client(ClientSettings(origin=origin, task=one.task, proof=proof), here)
            signature = Signature.of(say.__wrapped__, server="echo", effect="read")
            close, far = (each.guard(server="echo", effect="read")(say.__wrapped__) for each in (near, afar))

            @afar.guard(server="echo", tool="say", effect="read")
            def sent(text: str) -> str:
                """Says it."""
                return carry().headers("POST", "https://echo.example/say")["Txn-Token"] and text

            yield (
                {
                    "HTTP: `/livez`": lambda: web.get("/livez").raise_for_status(),
                    "HTTP: guarded": lambda: far("hello"),
                    "HTTP: carried": lambda: sent("hello"),
                },
                {
                    "a function, bare": lambda: say.__wrapped__("hello"),
                    "its arguments, there and back": lambda: signature.read(
                        signature.written(("hello",), {})
                    ),
                    "socket: a ping": lambda: plain.ask(Ping(), Done),
                    "socket: guarded": lambda: close("hello"),
                },
            )
            near.close()
            afar.close()
    finally:
        names |= kept[0]
        tool |= kept[1]
