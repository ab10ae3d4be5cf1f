"""People's accounts at issuers, who signed in with one, and what groups that put them in."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from taskbound.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLinked:
    """Somebody said that an account is a person's."""

    kind: ClassVar[str] = "account-linked"
    person: str
    issuer: str
    """The issuer's short name."""
    subject: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUnlinked:
    """It is theirs no more."""

    kind: ClassVar[str] = "account-unlinked"
    person: str
    issuer: str
    subject: str
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSignedIn:
    """A person signed in with a browser."""

    kind: ClassVar[str] = "person-signed-in"
    person: str
    session: str
    issuer: str
    subject: str
    authenticated: int
    """When they proved themselves there; 0 where the issuer does not say."""
    acr: str
    until: int
    address: str
    """Where the browser is, as the API's process says; an IPv6 network is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """A session of a browser ended before its time."""

    kind: ClassVar[str] = "session-ended"
    person: str
    session: str
    reason: str
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRefused:
    """Somebody came back from an issuer, or said so, and nobody was signed in."""

    kind: ClassVar[str] = "sign-in-refused"
    issuer: str
    """The short name of the issuer that was asked; empty where that is not known."""
    code: str
    address: str
    subject: str = ""
    """Whom the issuer named, where its word was believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerGroupsSet:
    """Somebody said which values of an issuer's claim are which groups."""

    kind: ClassVar[str] = "issuer-groups-set"
    issuer: str
    claim: str
    """A JSON Pointer; empty where it says none any more."""
    groups: tuple[str, ...]
    """``value=group`` for each."""
    by: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupClaimed:
    """A person became a member of a group by an issuer's word, or is one by it no more."""

    kind: ClassVar[str] = "group-claimed"
    group: str
    person: str
    issuer: str
    member: bool
    until: int
    """When the membership ends by itself; 0 for one that has ended."""
    reason: str
    by: str
    proof: str


AccountEvent: TypeAlias = (
    AccountLinked
    | AccountUnlinked
    | GroupClaimed
    | IssuerGroupsSet
    | PersonSignedIn
    | SessionEnded
    | SignInRefused
)
"""Whatever is recorded of people's accounts."""
