"""What a token endpoint answers: a token that can be used, or an error that has a name.

Rules:

1. An answer is one strict JSON object of type `application/json`: a token with status 200, an error with
   another one (RFC 6749 §5). Redirections are not followed.
2. A token is one of RFC 6750 (§2.1), of the type `Bearer`, with as many bytes as can be told from other text.
3. Its life is a whole number of seconds, from 1 to a year. Where none is said it is `DEFAULT_LIFE`.
4. Its scope is what was asked for, unless the answer says less; more is refused. The word of the endpoint is
   all that is known of it: a server that takes the token looks at what is in it.
5. It comes alone: with a refresh token beside it there would be a second credential, of which nobody knows
   how it ends.
6. Nothing that the endpoint says is repeated but an error's code that the standards know: the rest may be the
   secret that it was given.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool.oauth.errors import (
    BadTokenError,
    TokenRefusedError,
    TokenTooWideError,
    TokenUnavailableError,
)
from taskbound.core.tool.slot import MAX_SECRET, MIN_SECRET

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.errors import TaskboundError


MAX_ANSWER: Final = 65_536
"""Bytes of an answer."""
DEFAULT_LIFE: Final = 300
"""Seconds that a token is used for of which nobody says how long it lives."""
MAX_LIFE: Final = 31_536_000
_LIMITS: Final = Limits(size=MAX_ANSWER)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_OK: Final = 200
_FAULTY: Final = 500
_TOO_MANY: Final = 429
_KNOWN: Final = frozenset(
    {
        "access_denied", "invalid_authorization_details", "invalid_client", "invalid_grant",
        "invalid_request", "invalid_scope", "invalid_target", "server_error",
        "temporarily_unavailable", "unauthorized_client", "unsupported_grant_type",
    }
)  # fmt: skip  # a list of words reads better as words
_PASSING: Final = frozenset({"server_error", "temporarily_unavailable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token; it is not in its repr."""

    value: str = field(repr=False)
    seconds: int
    """How long it lives, from when it was asked for."""
    scopes: tuple[str, ...]
    """What it is for, sorted."""
    says_scope: bool = True
    """Whether the answer says so; else it is taken for what was asked for (rule 4)."""
    kind: str = ""
    """The `issued_token_type` of RFC 8693; empty where none is said."""
    details: str = ""
    """The `authorization_details` that it is said to have (RFC 9396), canonical JSON; empty for none."""


def parse_token(
    status: int, kind: bytes, body: bytes, *, asked: Collection[str], default: int | None = DEFAULT_LIFE
) -> Token:
    """The token in an answer.

    Args:
        status: Of HTTP.
        kind: The media type in small letters, without parameters.
        body: At most `MAX_ANSWER` bytes.
        asked: The scopes that were asked for.
        default: Seconds that it is taken to live where nobody says; None where it has to be said.

    Raises:
        TokenRefusedError: There is none for this client.
        TokenUnavailableError: There is none now.
        TokenTooWideError: It is for more than was asked for (rule 4).
        BadTokenError: The answer is none, or the token can't be used.
    """
    if 300 <= status < 400:  # noqa: PLR2004 -- what HTTP calls a redirection
        raise BadTokenError("the token endpoint sends elsewhere, and is not followed there")
    if status != _OK:
        raise _refusal(status, kind, body)
    answer = _object(kind, body)
    if answer is None:
        raise BadTokenError("the token endpoint's answer is no JSON object")  # 1
    return _token(answer, asked, default)


def parse_about(status: int, kind: bytes, body: bytes) -> Mapping[str, JsonValue]:
    """What is said of the token that was asked about (RFC 7662 §2.2): with `active`, which is true or false.

    Raises:
        TokenRefusedError: This client may not ask.
        TokenUnavailableError: There is no answer to it now.
        BadTokenError: The answer says neither.
    """
    if status != _OK:
        raise _refusal(status, kind, body)
    said = _object(kind, body) or {}
    if not isinstance(said.get("active"), bool):
        raise BadTokenError("what was asked about a token is not answered")
    return said


def tokens_in(kind: bytes, body: bytes) -> tuple[str, ...]:
    """Every credential in an answer that was refused, to be given back."""
    answer = _object(kind, body) or {}
    found = [answer.get(name) for name in ("refresh_token", "access_token")]
    return tuple(one for one in found if isinstance(one, str) and 0 < len(one) <= MAX_SECRET)


def _token(answer: dict[str, JsonValue], asked: Collection[str], default: int | None) -> Token:
    value, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise BadTokenError("the token endpoint's token is none that can stand in a header")  # 2
    if not MIN_SECRET <= len(value) <= MAX_SECRET:
        raise BadTokenError(f"the token endpoint's token has not {MIN_SECRET} to {MAX_SECRET} bytes")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise BadTokenError("the token endpoint's token is not of the type `Bearer`")
    if "refresh_token" in answer:
        raise BadTokenError("the token came with a refresh token, which this grant has not")  # 5
    seconds = answer.get("expires_in", default)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= MAX_LIFE:
        raise BadTokenError("the token's life is no whole number of seconds within a year")  # 3
    issued, details = answer.get("issued_token_type"), answer.get("authorization_details")
    return Token(
        value=value,
        seconds=seconds,
        scopes=_scopes(answer.get("scope"), asked),
        says_scope="scope" in answer,
        kind=issued if isinstance(issued, str) else "",
        details="" if details is None else canonical(details).decode(),
    )


def _scopes(said: JsonValue, asked: Collection[str]) -> tuple[str, ...]:
    """What the token is for (rule 4)."""
    if said is None:
        return tuple(sorted(asked))
    if not isinstance(said, str):
        raise BadTokenError("the token's scope is no text")
    found = set(said.split())
    more = sorted(found - set(asked))
    if more:
        raise TokenTooWideError(f"the token has {len(more)} scopes that were not asked for")  # 6
    return tuple(sorted(found))


def _refusal(status: int, kind: bytes, body: bytes) -> TaskboundError:
    """What an answer that is no token says (rule 6)."""
    answer = _object(kind, body)
    said = answer.get("error") if answer is not None else None
    if status == _TOO_MANY or status >= _FAULTY or said in _PASSING:
        return TokenUnavailableError(f"the token endpoint gives no token now: HTTP status {status}")
    if not isinstance(said, str):
        return BadTokenError(f"the token endpoint answers with HTTP status {status}, and no error of OAuth")
    word = said if said in _KNOWN else "an error that OAuth does not know"
    return TokenRefusedError(f"the authorization server gives this client no token: {word}")


def _object(kind: bytes, body: bytes) -> dict[str, JsonValue] | None:
    if kind != b"application/json":
        return None
    try:
        return parse_object(body, limits=_LIMITS)
    except MalformedError:
        return None
