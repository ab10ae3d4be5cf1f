"""A service that verifies a transaction token: its head, all of it, and a repeat, against the bare signature.

*Bare* is `verify` of ES256 by `cryptography`, with a key that was loaded before. *A head* is everything
that is looked at before a body is read: the text, strictly, header, claims, key, issuer, trust domain,
times, namespace, tool and what the token says; *never seen* is with its signature, *seen* is of a token
whose signature was right before. *Refused* is a head, and a body of which the token says another digest.
*Done* is all of it with the claim and the answer that is kept, two transactions with full syncs in a
folder of the system's own for what is temporary; *a repeat* is what is told of it again. The status is
asked of a feed in memory; nothing else runs, no server and no application.
"""

from __future__ import annotations

from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from dev.benchmarks.page import Section, Table
from dev.benchmarks.sampling import by_turns, micro
from tests.sdk.verify.world import Place, answer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure_service"]

_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_TOKENS: Final = 1_500
"""More than there are texts remembered, so that each is one that was not seen."""


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
        }
        turns = 3 if quick else 11
        timed = by_turns(quickly, turns=turns, pieces=100 if quick else 1_000)
        timed |= by_turns(durably, turns=turns, pieces=10 if quick else 50)
        place.claims.close()
    rows = [(name, micro(one.median), micro(one.p99), micro(one.cpu)) for name, one in timed.items()]
    return Section(
        name="service",
        title="Verifying a transaction token in a service",
        method=_METHOD,
        tables=(Table(head=("work", "p50 µs", "p99 µs", "CPU µs"), rows=tuple(rows)),),
        numbers={name: one.median for name, one in timed.items()},
    )
