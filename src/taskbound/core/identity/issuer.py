"""Issuers of evidence and of identities, their keys, and people's accounts at them.

Of `issuer`:

1. Neither the short name nor the `iss` value may repeat in a namespace, so at most one issuer's keys verify a
   token.
2. Keys are stored as their canonical source document with thumbprints (RFC 7638), which are only compared
   here.

Of `account`:

1. An account (issuer and subject) belongs to one person, who may have several. It is linked by hand, never by
   an e-mail address, a name or another claim.
2. Subjects are compared exactly (OpenID Connect Core §2).
3. An issuer may assert groups in one claim, by values that are each mapped to one group. Unmapped values and
   other JSON types are ignored; there are no patterns.
4. A claimed membership lasts as long as the sign-in and is separate from memberships that people gave.

Of `oidc`:

1. For one use (people or workloads) no two issuers of a namespace share an `iss` URL; assertions for one use
   say nothing about the other.
2. Keys are those that the issuer publishes (OpenID Connect Discovery, RFC 8414), or fixed ones without
   look-up.
3. Keys are fetched from the issuer's origin or one other configured origin, and from private addresses only
   if that is configured (SSRF).
4. An issuer named by selectors or accounts cannot be removed, because a new issuer of that name would inherit
   them.
5. The client secret is in a file that only the daemon reads, and is sent only to the issuer's origin or the
   configured token origin.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.person import parse_name
from taskbound.core.tool.oauth.client import BadClientError, issuer_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant


_LONGEST: Final = 255


class BadIssuerError(MalformedError):
    """A field of an issuer is malformed."""

    code = "bad-issuer"
    remedy = "give the issuer's own name as its tokens write it, such as https://example.com/tickets"


class UnknownIssuerError(DeniedError):
    """No issuer of evidence has this name."""

    code = "unknown-issuer"
    remedy = "list them with `taskbound task issuer list`, or have this one added"


class IssuerExistsError(DeniedError):
    """Another issuer has this name or this `iss`."""

    code = "issuer-exists"
    remedy = "remove the other one first: two issuers of one name could speak for each other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer of evidence."""

    namespace: str
    name: str
    issuer: str
    """What its tokens say as `iss`."""
    audience: str
    """What its tokens must say as `aud`."""
    keys: bytes
    """Its public keys, a JSON Web Key Set in canonical form (rule 2)."""
    thumbprints: tuple[str, ...]
    """The names that the keys themselves have, in the set's order."""
    version: int = 1


def parse_issuer_text(text: str, *, where: str) -> str:
    """Returns a name as tokens write it, printable ASCII without spaces; raises BadIssuerError."""
    if not 0 < len(text) <= _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise BadIssuerError(f"`{where}` has 1 to {_LONGEST} printable characters of ASCII", where=where)
    return text


_ACCOUNT_LONGEST: Final = 512
_MOST: Final = 64
_LONGEST_POINTER: Final = 256


class UnknownAccountError(DeniedError):
    """This account of an issuer is not linked to a person."""

    code = "unknown-account"
    remedy = "have the data directory's owner link it with `taskbound person account link`"


class AccountTakenError(DeniedError):
    """The account is already linked to a person."""

    code = "account-taken"
    remedy = "unlink it first with `taskbound person account unlink`"


class BadSubjectError(MalformedError):
    """The subject is malformed."""

    code = "bad-subject"
    remedy = "name the `sub` of the issuer's ID token, to the letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account and its person."""

    namespace: str
    issuer: str
    """The issuer's short name."""
    subject: str
    person: str
    linked: Instant
    by: str
    """Who linked it, by name."""


def parse_subject(text: str) -> str:
    if not 1 <= len(text) <= _ACCOUNT_LONGEST or not text.isprintable():
        raise BadSubjectError(
            f"a subject is a text of 1 to {_ACCOUNT_LONGEST} visible characters", where="subject"
        )
    return text


def parse_groups(pointer: str, pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    found = tuple(sorted(set(pairs)))
    if not pointer.startswith("/") or not 1 < len(pointer) <= _LONGEST_POINTER or not pointer.isprintable():
        raise BadIssuerError("a claim is named by a JSON Pointer such as `/groups`", where="claim")
    if not 1 <= len(found) <= _MOST or len({value for value, _ in found}) != len(found):
        raise BadIssuerError(f"1 to {_MOST} values of the claim are each one group", where="groups")
    for value, group in found:
        parse_name(group, what="a group")
        if not 1 <= len(value) <= _ACCOUNT_LONGEST or not value.isprintable():
            raise BadIssuerError("a value of the claim is a visible text", where="groups")
    return found


def claimed_groups(issuer: IdentityIssuer, claims: Mapping[str, JsonValue]) -> frozenset[str]:
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


_LONGEST_NAME: Final = 32
_FILE: Final = re.compile(r"/[ -~]{1,1023}", re.ASCII)


class UnknownIdentityIssuerError(DeniedError):
    """No issuer of identities has this name or this `iss`."""

    code = "unknown-identity-issuer"
    remedy = "list them with `taskbound agent issuer list`, or have this one added"


class IssuerInUseError(DeniedError):
    """Selectors or accounts name the issuer, so it cannot be removed."""

    code = "issuer-in-use"
    remedy = "remove the selectors and links that name it first"


class IssuerUse(Enum):
    """Whether an issuer authenticates workloads or people."""

    WORKLOADS = "workloads"
    PEOPLE = "people"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityIssuer:
    """One issuer of identities."""

    namespace: str
    name: str
    issuer: str
    """What its tokens say as `iss`: a URL."""
    audience: str
    """What they must say as `aud`; for people our own client id there."""
    use: IssuerUse
    keys: bytes = b""
    """Its public keys, a JSON Web Key Set as it was written down; empty where it publishes them (rule 2)."""
    keys_at: str = ""
    """Another origin at which its keys may be (rule 3)."""
    private: bool = False
    """Whether it may be at addresses that are not public (rule 3)."""
    token_at: str = ""
    """Another origin at which it may give tokens to us (rule 3); for people."""
    secret_file: str = ""
    """The file of our client secret there, by its whole path (rule 5); empty for a client without one."""
    groups_at: str = ""
    """The claim that says groups, as a JSON Pointer; empty where it says none (`account`, rule 3)."""
    groups: tuple[tuple[str, str], ...] = ()
    """Its values, and which group of ours each is."""


def parse_identity_issuer(  # noqa: PLR0913 - what an issuer is made of, each by its name
    namespace: str,
    name: str,
    *,
    issuer: str,
    audience: str,
    use: str,
    keys: bytes = b"",
    keys_at: str = "",
    private: bool = False,
    token_at: str = "",
    secret_file: str = "",
) -> IdentityIssuer:
    parse_name(name, what="an issuer")
    if len(name) > _LONGEST_NAME:
        raise BadIssuerError(f"an issuer's name has at most {_LONGEST_NAME} characters", where="name")
    known = {one.value: one for one in IssuerUse}
    if use not in known:
        raise BadIssuerError(f"an issuer's word is taken of {' or '.join(known)}", where="use")
    if not audience and known[use] is IssuerUse.PEOPLE:
        raise BadIssuerError("for people the audience is our client id there", where="audience")
    _require_url(issuer, "issuer")
    if keys_at and (_require_url(keys_at, "keys_at") != keys_at or keys):
        words = "`keys_at` is an origin, and for an issuer that publishes its keys"
        raise BadIssuerError(words, where="keys_at")
    if (token_at or secret_file) and known[use] is not IssuerUse.PEOPLE:
        raise BadIssuerError("only where people sign in do we ask for tokens", where="use")
    if token_at and _require_url(token_at, "token_at") != token_at:
        raise BadIssuerError("`token_at` is an origin", where="token_at")
    if secret_file and (not _FILE.fullmatch(secret_file) or "/../" in f"{secret_file}/"):
        raise BadIssuerError("the file of a secret is named by its whole path", where="secret_file")  # 5
    return IdentityIssuer(
        namespace=namespace,
        name=name,
        issuer=parse_issuer_text(issuer, where="issuer"),
        audience=parse_issuer_text(audience or f"urn:taskbound:{namespace}", where="audience"),
        use=known[use],
        keys=keys,
        keys_at=keys_at,
        private=private,
        token_at=token_at,
        secret_file=secret_file,
    )


def require_alone(issuer: IdentityIssuer, others: Iterable[IdentityIssuer]) -> None:
    """Raises IssuerExistsError if another issuer has its name, or its `iss` for the same use."""
    for one in others:
        if one.name == issuer.name or (one.issuer, one.use) == (issuer.issuer, issuer.use):
            raise IssuerExistsError(f"`{one.name}` is an issuer already, and writes itself `{one.issuer}`")


def _require_url(text: str, where: str) -> str:
    try:
        return issuer_at(text).origin
    except BadClientError as error:
        raise BadIssuerError(error.message, where=where) from error
