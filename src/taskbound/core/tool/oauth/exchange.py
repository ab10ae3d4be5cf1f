"""Token exchange (RFC 8693): what is asked for in somebody's name, and what of the answer is believed.

Rules:

1. The subject is for whom, the actor is who acts for them: two statements (`JWT`), each signed by who asks,
   for the authorization server alone. The subject's names the actor (`may_act`, §4.4), so that no other
   actor's can be put beside it.
2. What comes has to be an access token (`issued_token_type`, §2.2.1), and say its scope where one was asked
   for, also where it is the very same: what nobody says is taken for nothing.
3. The server itself says of the token for whom it is and who acts (RFC 7662 §2.2; `act`, RFC 8693 §4.1): the
   outermost actor alone counts. Both are the names that were stated, letter by letter. Where it also says
   for which resources it is (`aud`) or to which client it was given, that has to be what was asked for, and
   who asked: a token for one place more is another token.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.tool.oauth.errors import BadTokenError, TokenTooWideError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.oauth.token import Token


EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type, and no secret
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """For whom a token is, and who acts; as they are named in statements."""

    subject: str
    actor: str
    task: str = field(default="")
    """The task that it is for; empty of a canary."""


def words_of(subject: str, actor: str) -> dict[str, str]:
    """What is said to the token endpoint beside scope and resource (rule 1).

    Args:
        subject: The statement of the subject.
        actor: That of the actor.
    """
    return {
        "subject_token": subject,
        "subject_token_type": _JWT,
        "actor_token": actor,
        "actor_token_type": _JWT,
        "requested_token_type": ACCESS_TOKEN,
    }


def require_exchanged(token: Token, asked: Collection[str]) -> None:
    """Go on only with an access token that says what it is for (rule 2).

    Raises:
        BadTokenError: It is none, or doesn't.
    """
    if token.kind != ACCESS_TOKEN:
        raise BadTokenError("what the token was exchanged for is no access token, or nothing says so")
    if asked and not token.says_scope:
        raise BadTokenError("the token was exchanged for one that says no scope")


def require_about(
    said: Mapping[str, JsonValue],
    whom: Whom,
    asked: Collection[str],
    *,
    places: tuple[str, ...],
    client: str,
) -> None:
    """Go on only with a token that is theirs by the server's own word (rule 3).

    Args:
        said: What it says of the token.
        whom: For whom it was asked.
        asked: The scopes that were asked for.
        places: The resource and the audience that were asked for.
        client: Who asked for it.

    Raises:
        BadTokenError: It is no token, or another's.
        TokenTooWideError: It is for more than was asked for.
    """
    if said.get("active") is not True:
        raise BadTokenError("the authorization server does not know the token that it gave")
    actor = said.get("act")
    if said.get("sub") != whom.subject:
        raise BadTokenError("the token is for another one than was asked for, or nothing says for whom")
    if not isinstance(actor, dict) or actor.get("sub") != whom.actor:
        raise BadTokenError("another one acts with the token than was asked for, or nothing says who")
    scope = said.get("scope", "")
    if not isinstance(scope, str) or set(scope.split()) - set(asked):
        raise TokenTooWideError("the authorization server says of its token that it is for more scopes")
    if said.get("client_id", client) != client:
        raise BadTokenError("the authorization server says of its token that another client has it")
    audience = said.get("aud", [])
    if any(one not in places for one in (audience if isinstance(audience, list) else [audience])):
        raise TokenTooWideError("the authorization server says of its token that it is for other resources")
