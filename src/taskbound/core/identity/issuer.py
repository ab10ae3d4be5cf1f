"""Issuers of identities, their keys, and the accounts of people at them.

Of `issuer`:

1. An issuer has a short name of ours, which policies and texts use, and the name that it writes as `iss`. No
   two issuers of a namespace share either, so that a token is believed by one issuer's keys or by none.
2. The keys are kept as the document that they were read from says them, in canonical form, and by their
   thumbprints (RFC 7638). Core compares those and computes nothing.

Of `account`:

1. An account is an issuer's short name and the subject that it gives: one account is one person's, a person
   may have several. Nobody gets one by an address, a name or anything else that an issuer says of them: it
   is linked by hand.
2. Subjects are compared whole, letter by letter (OpenID Connect Core §2).
3. An issuer may say groups: in one claim, by values that were each written down for one group of ours.
   There are no patterns. A value that nobody wrote down is nothing, and a claim that is neither a text nor
   a list of texts has no value.
4. A membership by claim lasts as long as a sign-in does, and no longer. It is kept apart from those that
   people gave, and touches none of them.

Of `oidc`:

1. An issuer has a short name of ours, which selectors and accounts use, and the name that it writes as
   `iss`, a URL. For one use no two issuers of a namespace share the latter; what an issuer says of people
   is nothing about workloads, and the other way round.
2. Its keys are those that it publishes (OpenID Connect Discovery, RFC 8414), or those that were written
   down, and then nothing is asked of it.
3. It publishes them at its own origin, or at one other that was named. Where it leads to addresses that are
   not public, that was said of it: an issuer's name must not lead into our own network by itself.
4. Who is named by selectors or accounts stays: another issuer of that name would inherit them.
5. Our client secret at an issuer stands in a file that only the daemon reads, and here is where. It is sent
   to the issuer's own origin, or to the one other that was named for its tokens.
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
    """An issuer was written down with something that can't be."""

    code = "bad-issuer"
    remedy = "give the issuer's own name as its tokens write it, such as https://example.com/tickets"


class UnknownIssuerError(DeniedError):
    """No issuer of evidence is known by this name."""

    code = "unknown-issuer"
    remedy = "list them with `taskbound task issuer list`, or have this one added"


class IssuerExistsError(DeniedError):
    """Another issuer has this name, or writes itself like this one."""

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
    """A name as tokens write it: printable ASCII without spaces.

    Raises:
        BadIssuerError: It is empty, too long, or has other characters.
    """
    if not 0 < len(text) <= _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise BadIssuerError(f"`{where}` has 1 to {_LONGEST} printable characters of ASCII", where=where)
    return text


_ACCOUNT_LONGEST: Final = 512
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
    if not 1 <= len(text) <= _ACCOUNT_LONGEST or not text.isprintable():
        raise BadSubjectError(
            f"a subject is a text of 1 to {_ACCOUNT_LONGEST} visible characters", where="subject"
        )
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
        if not 1 <= len(value) <= _ACCOUNT_LONGEST or not value.isprintable():
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


_LONGEST_NAME: Final = 32
_FILE: Final = re.compile(r"/[ -~]{1,1023}", re.ASCII)


class UnknownIdentityIssuerError(DeniedError):
    """No issuer of identities is known by this name, or writes itself so."""

    code = "unknown-identity-issuer"
    remedy = "list them with `taskbound agent issuer list`, or have this one added"


class IssuerInUseError(DeniedError):
    """Selectors or accounts name the issuer: another one of that name would inherit them."""

    code = "issuer-in-use"
    remedy = "remove the selectors and links that name it first"


class IssuerUse(Enum):
    """Of whom an issuer's word is taken."""

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
    """The issuer that these texts say.

    Raises:
        BadNameError: The short name can't be one.
        BadIssuerError: Something else can't be.
    """
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
    """Go on only when no other issuer has its name, or writes itself like it for the same use (rule 1).

    Raises:
        IssuerExistsError: One does.
    """
    for one in others:
        if one.name == issuer.name or (one.issuer, one.use) == (issuer.issuer, issuer.use):
            raise IssuerExistsError(f"`{one.name}` is an issuer already, and writes itself `{one.issuer}`")


def _require_url(text: str, where: str) -> str:
    """The origin of what is a URL that can be asked."""
    try:
        return issuer_at(text).origin
    except BadClientError as error:
        raise BadIssuerError(error.message, where=where) from error
