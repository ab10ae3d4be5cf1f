"""A refusal as a problem (RFC 9457), and the challenge that goes with it.

1. The type is the error's code as a URN; the title is the code's words, the same for each of its kind. The
   detail is for the person who meets it, and never holds a secret.
2. Who showed no proof, or a bad one, is told how (RFC 6750 §3, RFC 9449 §7.1), and where it is said what to
   ask whom for (RFC 9728 §5.1). Without any proof nothing is said to be wrong with one.
3. Who may not do what they ask is told that their token does not reach so far (RFC 6750 §3.1), and with
   which scope another would, where it is of the wrong kind: only then is it worth asking for one.
4. The challenge is of the scheme that was tried: `Bearer` to who showed a token so, else `DPoP`.
5. Who would have to sign in otherwise, or anew, is told how (RFC 9470 §3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.dataclass import dataclass
from taskbound.core.policy.step_up import StepUpError
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.http.errors import VerbError
from taskbound.surfaces.network.errors import status_of
from taskbound.wire.action import Changed, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.errors import TaskboundError
    from taskbound.wire.connection import Fault


NO_PROOF: Final = "no-proof"
"""The code of a request that shows nothing."""
BEARER: Final = "Bearer"
DPOP: Final = "DPoP"
"""Schemes by which a token is shown (RFC 6750, RFC 9449)."""
_URN: Final = "urn:taskbound:problem:"
_AGAIN: Final = "1"
"""Seconds after which what can't be done now is worth another try."""
_UNAUTHORIZED: Final = 401
_LATER: Final = frozenset({429, 503})


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in the answer; the members behind `where` are of a refused action alone."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    advice: str = ""
    where: str = ""
    action: str = ""
    task: str = ""
    state: str = ""
    approval: str = ""
    reasons: tuple[Reason, ...] = ()
    arguments: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Of a narrower action: what may be asked for instead."""
    changed: tuple[Changed, ...] = ()
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Of a repeated one: the result that was told before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A problem, and the headers that go with it."""

    problem: Problem
    headers: tuple[tuple[str, str], ...]

    @property
    def body(self) -> bytes:
        """The problem as JSON."""
        return msgspec.json.encode(self.problem)


def urn_of(code: str) -> str:
    """The type of a problem with this code (rule 1)."""
    return f"{_URN}{code}"


def problem_of(error: TaskboundError | Fault, metadata: str, tried: str = "") -> Refusal:
    """How an error, or the daemon's fault, is told.

    Args:
        error: What is wrong.
        metadata: Where the API says whom to ask for a token (RFC 9728).
        tried: The `Authorization` that came; empty without one.
    """
    scheme = BEARER if tried[: len(BEARER)].lower() == BEARER.lower() else DPOP  # 4
    if isinstance(error, RefusedByDaemonError):
        error = error.fault
    status = status_of(error.code, error.family)
    headers: list[tuple[str, str]] = []
    if error.code == StepUpError.code:
        wrong = "insufficient_user_authentication"
        headers += challenge(wrong, metadata, scheme=scheme, more=_sign_in(error))
    elif status == _UNAUTHORIZED:
        headers += challenge(_wrong(error.code), metadata, scheme=scheme)
    elif error.code in _BEYOND:
        scope = error.where if error.code == _OTHER_KIND else ""
        headers += challenge("insufficient_scope", metadata, scheme=scheme, scope=scope)
    if isinstance(error, VerbError):
        headers.append(("Allow", error.allow))
    if status in _LATER:
        headers.append(("Retry-After", _AGAIN))
    return Refusal(
        problem=Problem(
            type=urn_of(error.code),
            title=error.code.replace("-", " ").capitalize(),
            status=status,
            detail=error.message,
            code=error.code,
            advice=error.advice,
            where=error.where,
        ),
        headers=tuple(headers),
    )


_OTHER_KIND: Final = "other-token-kind"
_BEYOND: Final = frozenset({"operation-forbidden", _OTHER_KIND})
_OF_TOKEN: Final = frozenset({"dpop-key", "dpop-token"})
"""What is wrong with a proof that is of another token than it came with (RFC 9449 §7.1)."""


def _sign_in(error: TaskboundError | Fault) -> dict[str, str]:
    """How to sign in (rule 5)."""
    acr, within = getattr(error, "acr", ""), getattr(error, "within", 0)
    return {**({"acr_values": acr} if acr else {}), **({"max_age": str(within)} if within else {})}


def challenge(
    wrong: str, metadata: str, *, scheme: str = DPOP, scope: str = "", more: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """What says how to prove oneself, and what was wrong with a proof (rules 2 to 5)."""
    told = ['algs="ES256"'] if scheme == DPOP else []
    told += [f'{name}="{value}"' for name, value in (("error", wrong), ("scope", scope)) if value]
    told += [f'{name}="{value}"' for name, value in (more or {}).items()]
    told.append(f'resource_metadata="{metadata}"')
    return [("WWW-Authenticate", f"{scheme} {', '.join(told)}")]


def _wrong(code: str) -> str:
    """What a challenge calls this error of who asks; nothing where they showed nothing."""
    if code == NO_PROOF:
        return ""
    proof = code == "replayed" or (code.startswith("dpop-") and code not in _OF_TOKEN)
    return "invalid_dpop_proof" if proof else "invalid_token"
