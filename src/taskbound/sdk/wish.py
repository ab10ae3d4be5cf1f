"""A program's request for a credential, what opens it, and the result (`taskbound.sdk.credential`)."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.action.canonical import canonical
from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.target import RENEWS, SECONDS
from taskbound.core.tool.name import CREDENTIAL, is_reserved, join_tool_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue


_SHOWN: Final = 80


class BadWishError(MalformedError):
    """The names do not make a credential."""

    code = "bad-wish"
    remedy = "name a target and one of its kinds, with texts for the kind's own parameters"


class Opened(Protocol):
    """An opened credential."""

    @property
    def open(self) -> Mapping[str, str]:
        """Returns its public values."""

    @property
    def secret(self) -> Mapping[str, str]:
        """Returns its secret values."""


class Asker(Protocol):
    """The key of one request."""

    @property
    def public(self) -> str:
        """Returns 32 bytes of X25519, as base64url."""

    def open(self, sealed: str, *, namespace: str, target: str, credential: str) -> Opened:
        """MUST refuse what was sealed for another credential and names that decide what runs or where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialWish:
    """A wanted credential; raises BadWishError for names that no target could have."""

    target: str
    kind: str
    seconds: int = 0
    """For how long; 0 for as long as its kind allows."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    renews: str = ""
    """The id of the credential that is to live longer; empty where a new one is wanted."""

    def __post_init__(self) -> None:
        named = escape_text(f"{self.target}/{self.kind}"[:_SHOWN])
        if not is_reserved(CREDENTIAL + self.kind):
            raise BadWishError(f"`{named}` names no kind of credential")
        try:
            join_tool_name(self.target, CREDENTIAL + self.kind)
        except MalformedError as error:
            raise BadWishError(f"`{named}` names no kind of credential: {error.message}") from error
        if self.seconds < 0 or {SECONDS, RENEWS} & self.parameters.keys():
            raise BadWishError(
                f"for how long and which one it renews is said by no parameter `{SECONDS}` or `{RENEWS}`"
            )

    @property
    def tool(self) -> str:
        return join_tool_name(self.target, CREDENTIAL + self.kind)

    @property
    def arguments(self) -> bytes:
        """Returns the canonical arguments that are decided."""
        given: dict[str, JsonValue] = dict(self.parameters)
        if self.seconds:
            given[SECONDS] = self.seconds
        if self.renews:
            given[RENEWS] = self.renews
        return canonical(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCredential:
    """A credential of this process."""

    id: str
    target: str
    kind: str
    ends: int
    """When it ends: instant, µs since the epoch."""
    open: Mapping[str, str]
    """What may be shown: by the name of the variable that programs of the target read."""
    secret: Mapping[str, str] = field(repr=False)
    """What may not."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What was given beside for how long it is wanted."""
    renewer: Callable[[TaskCredential, int], TaskCredential] | None = field(
        default=None, repr=False, compare=False
    )
    """Asks for a longer life of it, on the connection that has it."""

    def renewed_for(self, seconds: int = 0) -> CredentialWish:
        """Returns the renewal request; 0 seconds mean the kind's maximum."""
        return CredentialWish(
            target=self.target, kind=self.kind, seconds=seconds, parameters=self.parameters, renews=self.id
        )

    def renew(self, seconds: int = 0) -> TaskCredential:
        """Returns the extended credential (`Task.renew`), which never outlives its task."""
        if self.renewer is None:
            raise BadWishError(
                "this credential can't be renewed: its connection is not available",
                remedy="ask on its connection",
            )
        return self.renewer(self, seconds)

    def environment(self) -> dict[str, str]:
        """Returns both as variables for a program; for hosts prefer an agent (`sdk.ssh`)."""
        return {**self.open, **self.secret}
