"""Accounts of people at issuers, and which groups an issuer's word puts them in.

1. An account is an issuer's short name and the subject that it gives: one account is one person's, a person
   may have several. Nobody gets one by an address, a name or anything else that an issuer says of them: it
   is linked by hand.
2. Subjects are compared whole, letter by letter (OpenID Connect Core §2).
3. An issuer may say groups: in one claim, by values that were each written down for one group of ours.
   There are no patterns. A value that nobody wrote down is nothing, and a claim that is neither a text nor
   a list of texts has no value.
4. A membership by claim lasts as long as a sign-in does, and no longer. It is kept apart from those that
   people gave, and touches none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.issuer import BadIssuerError
from taskbound.core.identity.person import parse_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.identity.oidc import IdentityIssuer


_LONGEST: Final = 512
_MOST: Final = 64
_LONGEST_POINTER: Final = 256


class UnknownAccountError(DeniedError):
    """Nobody here is linked with this account of an issuer."""

    code = "unknown-account"
    remedy = "have the data directory's owner link it with `taskbound person account link`"


class AccountTakenError(DeniedError):
    """The account is somebody's already."""

    code = "account-taken"
    remedy = "unlink it first with `taskbound person account unlink`"


class BadSubjectError(MalformedError):
    """What an issuer should call somebody is no subject."""

    code = "bad-subject"
    remedy = "name the `sub` of the issuer's ID token, to the letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account, and whose it is (rule 1)."""

    namespace: str
    issuer: str
    """The issuer's short name."""
    subject: str
    person: str
    linked: Instant
    by: str
    """Who linked it, by name."""


def parse_subject(text: str) -> str:
    """A subject as an issuer writes it (rule 2).

    Raises:
        BadSubjectError: It is empty, too long, or holds what is not shown.
    """
    if not 1 <= len(text) <= _LONGEST or not text.isprintable():
        raise BadSubjectError(f"a subject is a text of 1 to {_LONGEST} visible characters", where="subject")
    return text


def parse_groups(pointer: str, pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Which value of the claim is which group (rule 3), in order.

    Args:
        pointer: The claim, as a JSON Pointer (RFC 6901).
        pairs: Values and names of groups.

    Raises:
        BadIssuerError: It can't be said so.
        BadNameError: A group can't have that name.
    """
    found = tuple(sorted(set(pairs)))
    if not pointer.startswith("/") or not 1 < len(pointer) <= _LONGEST_POINTER or not pointer.isprintable():
        raise BadIssuerError("a claim is named by a JSON Pointer such as `/groups`", where="claim")
    if not 1 <= len(found) <= _MOST or len({value for value, _ in found}) != len(found):
        raise BadIssuerError(f"1 to {_MOST} values of the claim are each one group", where="groups")
    for value, group in found:
        parse_name(group, what="a group")
        if not 1 <= len(value) <= _LONGEST or not value.isprintable():
            raise BadIssuerError("a value of the claim is a visible text", where="groups")
    return found


def claimed_groups(issuer: IdentityIssuer, claims: Mapping[str, JsonValue]) -> frozenset[str]:
    """The groups that these claims of the issuer name (rule 3)."""
    if not issuer.groups_at:
        return frozenset()
    found = _at(claims, issuer.groups_at)
    values = found if isinstance(found, list) else [found]
    if not all(isinstance(one, str) for one in values):
        return frozenset()
    return frozenset(group for value, group in issuer.groups if value in values)


def _at(claims: Mapping[str, JsonValue], pointer: str) -> JsonValue:
    here: JsonValue = dict(claims)
    for part in pointer[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        here = here.get(name) if isinstance(here, dict) else None
    return here
