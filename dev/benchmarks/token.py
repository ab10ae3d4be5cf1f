"""Tokens: signing and verifying one of ours against bare `cryptography`, by turns in one process.

*Bare* is ES256 alone, with a key that was loaded before: `sign` of the bytes, `verify` of a signature in DER.
*Ours* mints a task token from its claims (canonical JSON, read as the gate will read it, `r` and `s` with the
lower `s`), and verifies the text that came: splitting, strict JSON, header, claims, key, form of the
signature, the signature, issuer, audience and times. *A proof* is the same with DPoP: its twelve checks, and
a key that was never seen before. *With its row* is what a daemon does with a token that it has verified
before: the signature is remembered, and that the token, its key, its task, its agent and the switch stand is
read from SQLite each time.
"""

from __future__ import annotations

from contextlib import closing
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from dev.benchmarks.page import Aim, Section, Table
from dev.benchmarks.sampling import by_turns, micro
from taskbound.adapters.jose import JoserfcCheck
from taskbound.adapters.keys.es256 import Es256Key
from taskbound.adapters.store.sql import SqlStore
from taskbound.core.action import canonical
from taskbound.core.clock import Instant, seconds
from taskbound.wire.jose import (
    TASK_TOKEN,
    DpopRequest,
    Trust,
    encode_base64url,
    parse_jwks,
    parse_jws,
    read_dpop,
    verify_jws,
    write_jws,
)
from tests.token_world import TokenWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dev.benchmarks.sampling import Timed
    from taskbound.core.action import JsonValue


_METHOD: Final = (__doc__ or "").partition("\n\n")[2]
_MOST: Final = 2.0
"""Times bare: the aim."""
_NOW: Final = 1_800_000_000
_CLIENTS: Final = 1_500
"""More than there are keys kept ready, so that each proof's is new."""
_ISSUER: Final = "https://auth.example.com"
_AUDIENCE: Final = "https://api.example.com/tickets"
_ADDRESS: Final = "https://api.example.com/tickets/17"
_CLAIMS: Final[dict[str, JsonValue]] = {
    "iss": _ISSUER,
    "sub": "person:default/ann",
    "aud": _AUDIENCE,
    "client_id": "agent:default/planner",
    "act": {"sub": "agent:default/planner"},
    "jti": "tok_01hzy3m2kq8w7r5t4v6x9z0abc",
    "iat": _NOW,
    "exp": _NOW + 300,
    "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
    "task": "tsk_01hzy3m2kq8w7r5t4v6x9z0abc",
    "namespace": "default",
    "scope": "task",
    "authorization_details": [
        {
            "type": "taskbound_task",
            "identifier": "tsk_01hzy3m2kq8w7r5t4v6x9z0abc",
            "locations": [_AUDIENCE],
            "scope": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "deadline": _NOW + 3_600,
        }
    ],
    "status": {"status_list": {"idx": 4_711, "uri": f"{_ISSUER}/oauth/status/7"}},
}


def measure_token(*, quick: bool) -> Section:
    """The section."""
    key = Es256Key.generate()
    (jwk,) = parse_jwks(key.public)
    check, now = JoserfcCheck(), Instant(seconds(_NOW))
    trust = Trust(issuer=_ISSUER, audience=_AUDIENCE, keys=(jwk,))

    def mint() -> str:
        return write_jws(_CLAIMS, kind=TASK_TOKEN, key=jwk, sign=key.sign)

    text = mint()
    signed, _, _ = text.rpartition(".")
    message, der = signed.encode(), key.private.sign(signed.encode(), ECDSA(SHA256()))
    public, clients = key.private.public_key(), cycle([_proof() for _ in range(_CLIENTS)])
    request = DpopRequest(method="POST", uri=_ADDRESS)
    works: dict[str, Callable[[], object]] = {
        "sign, bare": lambda: key.private.sign(message, ECDSA(SHA256())),
        "sign, ours": mint,
        "verify, bare": lambda: public.verify(der, message, ECDSA(SHA256())),
        "verify, ours": lambda: verify_jws(
            parse_jws(text, kind=TASK_TOKEN), trust=trust, check=check, now=now
        ),
        "verify, a proof": lambda: read_dpop([next(clients)], request=request, check=check, now=now),
    }
    turns, pieces = (3, 100) if quick else (11, 1_000)
    with TemporaryDirectory(prefix="taskbound-token-") as folder, closing(_world(Path(folder))) as world:
        kept = world.issue(world.settle_in()).text
        works["verify, with its row"] = lambda: world.verify(kept)
        timed = by_turns(works, turns=turns, pieces=pieces)
    rows, ratios = [], {}
    for name, one in timed.items():
        bare = timed[f"{name.partition(',')[0]}, bare"]
        ratios[name] = one.median / bare.median
        rows.append((name, micro(one.median), micro(one.p99), micro(one.cpu), f"{ratios[name]:.2f}"))
    return Section(
        name="token",
        title="Signing and verifying a token",
        method=_METHOD,
        tables=(Table(head=("work", "p50 µs", "p99 µs", "CPU µs", "times bare"), rows=tuple(rows)),),
        aims=tuple(
            Aim(
                words=f"{name.partition(',')[0]} a task token in at most twice bare `cryptography`",
                measured=f"{ratios[name]:.2f}",
                reached=ratios[name] <= _MOST,
                reason=_reason(name, timed),
            )
            for name in ("sign, ours", "verify, ours")
        ),
        numbers={name: one.median for name, one in timed.items()},
    )


def _world(folder: Path) -> TokenWorld:
    return TokenWorld(SqlStore(folder / "t.db"), folder)


def _reason(name: str, timed: Mapping[str, Timed]) -> str:
    """Why it takes longer than that."""
    more = timed[name].median - timed[f"{name.partition(',')[0]}, bare"].median
    return f"it adds {micro(more)} µs to the signature: canonical JSON, strict reading, and base64url"


def _proof() -> str:
    """A DPoP proof by a key of its own."""
    key = Es256Key.generate()
    (jwk,) = parse_jwks(key.public)
    point: dict[str, JsonValue] = {name: jwk.members[name] for name in ("kty", "crv", "x", "y")}
    header: dict[str, JsonValue] = {"alg": "ES256", "jwk": point, "typ": "dpop+jwt"}
    claims: dict[str, JsonValue] = {"htm": "POST", "htu": _ADDRESS, "iat": _NOW, "jti": key.kid}
    signed = f"{encode_base64url(canonical(header))}.{encode_base64url(canonical(claims))}"
    return f"{signed}.{encode_base64url(key.sign(signed.encode()))}"
