"""A service's own way to verify what it is asked: `taskbound.sdk.verify` with keys, signatures and claims.

    from taskbound.sdk.verify import Endpoints, Holders
    from taskbound.sdk.verify.asgi import AsgiGuard
    from taskbound.wiring.guarding import guard

    verifier = guard(name="payments", issuer="https://as.example", domain="corp.example", …)
    app = AsgiGuard(app, verifier, Endpoints({"POST /pay": "bank__pay"}))

It needs the extra `services`, and nothing of a server: no daemon runs where a service does.

1. What is fetched comes from the issuer's own address, or not at all (`taskbound.wiring.issuer`).
2. The clock goes on from the latest instant that the claims have seen. Where that is more than two minutes
   ahead of the machine's, one of the two was wrong, and the service doesn't start.
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
    """The claims have seen an instant that is yet to come."""

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
    """What verifies requests of one service; the service closes it as it ends.

    Args:
        name: The service's own.
        issuer: `iss` of tokens, and where their keys are published.
        domain: The trust domain that they have to be for.
        claims: The file of claims, in a folder of this service's own, that all its processes share; or what
            keeps them for all its machines (`ServiceLink.claims`).
        holding: How it knows who sent a request (`Holders`), or the word that it doesn't.
        namespace: The one whose tokens it takes, and whose ends `status` hears.
        status: What was heard of ends of authority.
        asking: Asks the issuer, where that is not fresh; one of the two has to be there.
        tls: How the issuer's certificate is looked at; by the system's authorities where it is not given.

    Raises:
        BadIssuerNameError: The issuer can't be asked.
        ClaimsUnavailableError: The file can't be used.
        ClaimsAheadError: Rule 2.
        OtherNamespaceError: `status` hears another namespace.
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
    """The claims, and from when on this machine's clock goes; a file that is opened goes on `refused`."""
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
    """What reads the issuer's keys (rule 1).

    Raises:
        BadIssuerNameError: The issuer can't be asked.
    """
    require_issuer(issuer)
    return lambda: _asked(issuer, _KEYS, None, tls)


def introspection(
    issuer: str, prove: Callable[[], Mapping[str, str]], *, tls: ssl.SSLContext | None = None
) -> Asking:
    """What asks the issuer what a token is worth (rule 1).

    Args:
        issuer: Who is asked.
        prove: The parameters by which the service proves itself there, made anew each time.
        tls: As of `guard`.

    Raises:
        BadIssuerNameError: The issuer can't be asked.
    """
    require_issuer(issuer)
    return Asking(lambda text: _asked(issuer, _INTROSPECT, {"token": text, **prove()}, tls))


def _asked(issuer: str, path: str, form: Mapping[str, str] | None, tls: ssl.SSLContext | None) -> bytes:
    """The body of an answer with status 200.

    Raises:
        OSError: There is none.
    """
    if form is None:
        answer = send(issuer, "GET", path, tls=tls)
    else:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = send(issuer, "POST", path, body=urlencode(form).encode(), headers=headers, tls=tls)
    if answer.status != _FINE:
        raise OSError(f"the issuer answered with status {answer.status}")
    return answer.body
