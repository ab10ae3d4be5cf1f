"""What requests show is proven and used in turns, and each stands for itself there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from taskbound.adapters.store.sql import SqlStore
from taskbound.core.clock import Instant
from taskbound.core.decision import Allowance
from taskbound.core.errors import TaskboundError
from taskbound.core.identity.proof import Binding, BindingKind
from taskbound.core.token import Token
from taskbound.flows.means import SharedSnapshot
from taskbound.flows.token import revoke_token
from taskbound.flows.token.standing import require_token_stands
from taskbound.flows.token.verifying import Presenter, Request, read_shown
from taskbound.ports.store import Snapshot, StoreUnavailableError
from taskbound.surfaces.api.auth.showing import Showings
from taskbound.surfaces.api.server.worker import Worker
from taskbound.surfaces.http.rate import Buckets
from taskbound.wire.jose import token_hash
from tests.proofs import CLIENT, proof
from tests.token_world import API, TokenWorld
from tests.world import ANN, World

KEY = Binding(kind=BindingKind.DPOP, thumbprint=CLIENT.jwk.thumbprint)
Read = Callable[[SharedSnapshot], Presenter]


class Counted(SqlStore):
    """A real store that counts, and fails when it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, reserve=0)
        self.reads = self.writes = 0
        self.full = False

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        self.reads += 1
        with super().read() as snapshot:
            yield snapshot

    def write(self, work: Any, *, reserve: bool = False) -> Any:
        self.writes += 1
        if self.full:
            raise StoreUnavailableError("the disk is full")
        return super().write(work, reserve=reserve)


class Here:
    """Tokens of one task, each shown with proofs of the client's key."""

    def __init__(self, folder: Path) -> None:
        self.store = Counted(folder / "t.db")
        self.one = TokenWorld(self.store, folder, world=World(store=self.store))
        self.task = self.one.settle_in()
        self.burst = 100
        self.looked: list[str] = []

    def stands(self, snapshot: Snapshot, token: Token, now: Instant) -> None:
        self.looked.append(token.id)
        require_token_stands(snapshot, token, now)

    def token(self) -> str:
        return self.one.issue(self.task, binding=KEY).text

    def shown(self, token: str, jti: str, **changes: str) -> Read:
        """What reads a request with a proof of this name."""
        now = self.one.world.clock.now() // 1_000_000
        plain = {
            "method": "POST",
            "uri": API,
            "authorization": f"DPoP {token}",
            "dpop": proof(CLIENT, jti=jti, htu=API, iat=now, ath=token_hash(token)),
        }
        request = Request(**{**plain, **changes}, certificate=b"")
        return lambda look: read_shown(
            self.one.adapters,
            self.one.verification,
            request,
            audience=API,
            stands=self.stands,
            one_look=look,
        )

    def together(self, reads: Sequence[Read], *, paced: bool = True) -> list[str]:
        """What each is told, by code; all of them are there before the turn."""

        async def story() -> list[Presenter | BaseException]:
            loop = asyncio.get_running_loop()
            worker = Worker(loop, slow=60.0)
            showings = Showings(self.one.adapters, worker, Allowance())
            showings.paces = Buckets(burst=self.burst, each_second=0.001, clock=time.monotonic)
            worker.start()
            while worker.busy:
                await loop.run_in_executor(None, int)
            self.store.reads = self.store.writes = 0
            try:
                asked = (showings.prove(one, paced=paced) for one in reads)
                return await asyncio.gather(*asked, return_exceptions=True)
            finally:
                await asyncio.to_thread(worker.stop)

        return [_told(one) for one in asyncio.run(story())]


def _told(one: Presenter | BaseException) -> str:
    if isinstance(one, TaskboundError):
        return one.code
    return "proven" if isinstance(one, Presenter) else type(one).__name__


def broken(_: SharedSnapshot) -> Presenter:
    raise ZeroDivisionError


def test_what_comes_together_is_looked_at_in_one_snapshot_and_used_in_one_transaction(tmp_path: Path) -> None:
    here = Here(tmp_path)
    first, second = here.token(), here.token()
    shown = [here.shown(one, f"p{number}") for number, one in enumerate([first, second, first, first])]
    assert here.together(shown) == ["proven"] * 4
    assert (here.store.reads, here.store.writes) == (1, 1)
    assert len(here.looked) == len(set(here.looked)) == 2


def test_who_proves_nothing_takes_nothing_from_who_came_with_them(tmp_path: Path) -> None:
    here = Here(tmp_path)
    token, lost = here.token(), here.one.issue(here.task, binding=KEY)
    revoke_token(here.one.adapters, "default", lost.token.id, ANN, owns=False, why="lost")
    shown = [
        here.shown(token, "a", authorization="DPoP x"),
        here.shown(lost.text, "b"),
        broken,
        here.shown(token, "c"),
        here.shown(token, "d", uri="https://other.example/"),
    ]
    codes = here.together(shown)
    assert codes[1:4] == ["token-revoked", "ZeroDivisionError", "proven"]
    assert "proven" not in {codes[0], codes[4]}
    assert here.together([here.shown(lost.text, "b"), here.shown(token, "a")])[1] == "proven"


def test_what_the_store_can_not_tell_of_one_is_told_of_the_next(tmp_path: Path) -> None:
    here = Here(tmp_path)
    token = here.token()

    def unread(look: SharedSnapshot) -> Presenter:
        def fail(_: Snapshot) -> Presenter:
            raise StoreUnavailableError("that row can't be read")

        return look.once("unread", fail)

    shown = [here.shown(token, "a"), unread, here.shown(here.token(), "b"), here.shown(token, "c")]
    assert here.together(shown) == ["proven", "store-unavailable", "proven", "proven"]
    assert here.store.reads == 2


def test_a_proof_that_is_shown_twice_at_once_is_used_once_and_paid_for_once(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.burst = 2
    token = here.token()
    shown = [here.shown(token, name) for name in ("same", "same", "same", "other")]
    assert here.together(shown) == ["proven", "replayed", "replayed", "proven"]
    assert here.together(shown) == ["replayed"] * 4


def test_an_empty_bucket_refuses_before_the_proof_is_used(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.burst = 0
    shown = here.shown(here.token(), "kept")
    assert here.together([shown]) == ["too-many-requests"]
    assert here.store.writes == 0
    assert here.together([shown], paced=False) == ["proven"]


def test_where_no_proof_can_be_written_none_is_taken_and_who_shows_none_goes_on(tmp_path: Path) -> None:
    here = Here(tmp_path)
    token = here.token()
    shown = here.shown(token, "later")
    here.store.full = True

    def certified(look: SharedSnapshot) -> Presenter:
        return replace(here.shown(token, "none")(look), claim=None)

    assert here.together([shown, certified]) == ["store-unavailable", "proven"]
    here.store.full = False
    assert here.together([shown]) == ["proven"]
