"""Token verifier for services: `taskbound.sdk.verify` with keys, signatures and claims.

    from taskbound.sdk.verify import Endpoints, Holders
    from taskbound.sdk.verify.asgi import AsgiGuard
    from taskbound.wiring.guarding import guard

    verifier = guard(name="payments", issuer="https://as.example", domain="corp.example", …)
    app = AsgiGuard(app, verifier, Endpoints({"POST /pay": "bank__pay"}))

It needs the extra `services` and no daemon on the service's machine.

1. Keys and status come only from the issuer's own address (`taskbound.wiring.issuer`).
2. The clock continues from the latest instant in the claims. If that is more than two minutes ahead of the
   machine's clock, one of them was wrong, and the service doesn't start.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from time import time_ns
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from taskbound.adapters.claims import SharedClaims, SqliteClaims
from taskbound.adapters.clock.system import SystemClock
from taskbound.adapters.jose import JoserfcCheck
from taskbound.core.clock import Instant, minutes
from taskbound.core.errors import UnavailableError
from taskbound.core.token.shared import ClaimsUnavailableError
from taskbound.sdk.verify import Asking, IssuerKeys, Service, Verifier
from taskbound.wiring.issuer import require_issuer, send

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from taskbound.sdk.verify.holder import Holding
    from taskbound.sdk.verify.status import Status


_KEYS: Final = "/.well-known/jwks.json"
_INTROSPECT: Final = "/oauth/introspect"
_AHEAD: Final = minutes(2)
_FINE: Final = 200


class ClaimsAheadError(UnavailableError):
    """The claims contain an instant in the future."""

    code = "claims-ahead"
    remedy = (
        "set the machine's clock right; where the claims saw a wrong one, move their file away once every"
        " token that was issued before now is over (five minutes)"
    )


def guard(  # noqa: PLR0913 - what a service has to say of itself, each by its name
    *,
    name: str,
    issuer: str,
    domain: str,
    claims: Path | SharedClaims,
    holding: Holding,
    namespace: str = "default",
    status: Status | None = None,
    asking: Asking | None = None,
    tls: ssl.SSLContext | None = None,
) -> Verifier:
    """Returns the verifier of one service; the service must close it.

    Args:
        name: The service's registered name.
        issuer: `iss` of tokens; their keys are published there.
        domain: Trust domain that tokens must be issued for.
        claims: A claims file in a private folder, shared by all processes of the service, or
            `ServiceLink.claims` to share them between machines.
        holding: How the sender of a request is known (`Holders`), or the word that it isn't.
        namespace: Namespace of accepted tokens and of `status`.
        status: The revocation feed's state.
        asking: Token introspection while `status` is stale; one of the two is required.
        tls: Verifies the issuer's certificate; the system's authorities by default.

    Raises:
        BadIssuerNameError: The issuer's name is no usable address.
        ClaimsUnavailableError: The file is unusable.
        ClaimsAheadError: Rule 2.
        OtherNamespaceError: `status` follows another namespace.
    """
    fetch = published_keys(issuer, tls=tls)
    with ExitStack() as refused:
        kept, last = _opened(claims, name, refused)
        clock = SystemClock(last)
        made = Verifier(
            Service(name=name, issuer=issuer, domain=domain, holding=holding, namespace=namespace),
            keys=IssuerKeys(fetch, clock.now),
            check=JoserfcCheck(),
            claims=kept,
            clock=clock.now,
            status=status,
            asking=asking,
        )
        refused.pop_all()
    return made


def _opened(
    claims: Path | SharedClaims, name: str, refused: ExitStack
) -> tuple[SqliteClaims | SharedClaims, Instant]:
    if isinstance(claims, SharedClaims):
        if claims.name != name:
            raise ClaimsUnavailableError(
                f"the claims are those of service `{claims.name}`, and this is `{name}`",
                remedy="give the link and the guard the same name, the service's own",
            )
        return claims, Instant(0)
    kept = refused.enter_context(closing(SqliteClaims(claims)))
    last = kept.last_instant()
    if last > time_ns() // 1_000 + _AHEAD:
        raise ClaimsAheadError("the claims have seen an instant that is yet to come")  # 2
    return kept, last


def published_keys(issuer: str, *, tls: ssl.SSLContext | None = None) -> Callable[[], bytes]:
    require_issuer(issuer)
    return lambda: _asked(issuer, _KEYS, None, tls)


def introspection(
    issuer: str, prove: Callable[[], Mapping[str, str]], *, tls: ssl.SSLContext | None = None
) -> Asking:
    """Returns the issuer's token introspection; each request calls `prove` for the client authentication."""
    require_issuer(issuer)
    return Asking(lambda text: _asked(issuer, _INTROSPECT, {"token": text, **prove()}, tls))


def _asked(issuer: str, path: str, form: Mapping[str, str] | None, tls: ssl.SSLContext | None) -> bytes:
    if form is None:
        answer = send(issuer, "GET", path, tls=tls)
    else:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = send(issuer, "POST", path, body=urlencode(form).encode(), headers=headers, tls=tls)
    if answer.status != _FINE:
        raise OSError(f"the issuer answered with status {answer.status}")
    return answer.body
