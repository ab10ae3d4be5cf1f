"""A service that verifies a transaction token: its head, all of it, and a repeat, against the bare signature.

*Bare* is `verify` of ES256 by `cryptography`, with a key that was loaded before. *A head* is everything
that is looked at before a body is read: the text, strictly, header, claims, key, issuer, trust domain,
times, namespace, tool and what the token says; *never seen* is with its signature, *seen* is of a token
whose signature was right before. *Refused* is a head, and a body of which the token says another digest.
*Done* is all of it with the claim and the answer that is kept, two transactions with full syncs in a
folder of the system's own for what is temporary; *a repeat* is what is told of it again. The status is
asked of a feed in memory; nothing else runs, no server and no application.

*Kept by a daemon* is what a daemon does for a service on several machines, by itself: the claim, with what it
rests on read and locked, and the answer, two transactions of its store (SQLite, full syncs), and what it
tells a repeat; beside it claim and answer alone in the file of a service. What a machine pays beside that are
two requests over HTTP, each with a proof that is signed, shown and used.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.adapters.claims import SqliteClaims
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.clock import Instant
from taskbound.core.token.shared import Serving, SharedRequest, request_digest
from tests.peers.sharing import Sharing
from tests.sdk.verify.world import Place, answer

if TYPE_CHECKING:
    from collections.abc import Callable


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_TOKENS: Final = 1_500
"""More than there are texts remembered, so that each is one that was not seen."""
_ANSWER: Final = b"a" * 200


def measure_service(*, quick: bool) -> Section:
    """The section."""
    with TemporaryDirectory(prefix="taskbound-service-") as folder:
        place = Place(Path(folder))
        strangers, numbers = cycle([place.token(txn=f"new_{one}") for one in range(_TOKENS)]), count()
        known, done = place.token(txn="known"), place.token(txn="done")
        private = place.signer.private
        if not isinstance(private, EllipticCurvePrivateKey):
            raise TypeError("the issuer of the tests signs with ES256")
        message = known.rpartition(".")[0].encode()
        public, der = private.public_key(), private.sign(message, ECDSA(SHA256()))
        place.verifier.answer(place.accepted(done), answer())
        turns, pieces = (3, 10) if quick else (11, 50)
        kept = _Kept(Path(folder), permits=turns * pieces + 2)

        def whole() -> None:
            place.verifier.answer(place.accepted(place.token(txn=f"act_{next(numbers)}")), answer())

        quickly: dict[str, Callable[[], object]] = {
            "the signature, bare": lambda: public.verify(der, message, ECDSA(SHA256())),
            "a head, never seen": lambda: place.opened(next(strangers)),
            "a head, seen": lambda: place.opened(known),
            "refused for its body": lambda: place.why(known, body=b"{}"),
        }
        durably: dict[str, Callable[[], object]] = {
            "making the token of the next row": lambda: place.token(txn=f"act_{next(numbers)}"),
            "done, with such a token": whole,
            "a repeat": lambda: place.outcome(done),
            "claim and answer, in a file": kept.in_file,
            "claim and answer, kept by a daemon": kept.by_daemon,
            "a repeat, told by a daemon": kept.again,
        }
        timed = by_turns(quickly, turns=turns, pieces=100 if quick else 1_000)
        timed |= by_turns(durably, turns=turns, pieces=pieces)
        place.claims.close()
        kept.close()
    rows = [(name, micro(one.median), micro(one.p99), micro(one.cpu)) for name, one in timed.items()]
    return Section(
        name="service",
        title="Verifying a transaction token in a service",
        method=_METHOD,
        tables=(Table(head=("work", "p50 µs", "p99 µs", "CPU µs"), rows=tuple(rows)),),
        numbers={name: one.median for name, one in timed.items()},
    )


class _Kept:
    """The claims of a service in a file, and with a daemon, each for permits of its own."""

    def __init__(self, folder: Path, *, permits: int) -> None:
        """Have so many permitted."""
        self._store = SqlStore(folder / "daemon.db")
        self._sharing = Sharing(self._store, folder, permits=permits)
        self._asker = self._sharing.askers["payments"]
        self._permits = iter(self._sharing.permits)
        self._file = SqliteClaims(folder / "claims" / "alone.db")
        self._numbers = count()
        self._last: SharedRequest | None = None

    def in_file(self) -> None:
        """A claim and its answer in the service's file."""
        one = Serving(
            verifier="payments",
            txn=f"act_{next(self._numbers)}",
            request=request_digest("r"),
            until=Instant(2**60),
        )
        self._file.begin(one, Instant(1))
        self._file.answer(one, answer())

    def by_daemon(self) -> None:
        """The same by a daemon's own work."""
        permit = next(self._permits)
        wish = SharedRequest(
            txn=permit.action, token=permit.id, request=request_digest("r"), claimant="c" * 32, takes=30
        )
        self._last = wish
        self._sharing.kept.begin(self._asker, wish)
        self._sharing.kept.answer(
            self._asker, txn=wish.txn, request=wish.request, claimant=wish.claimant, answer=_ANSWER
        )

    def again(self) -> None:
        """What a daemon tells another machine of the last one."""
        if self._last is not None:
            self._sharing.kept.begin(self._asker, replace(self._last, claimant="d" * 32))

    def close(self) -> None:
        """Let go of both."""
        self._file.close()
        self._sharing.close()
        self._store.close()
