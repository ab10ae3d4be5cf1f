"""What a program wants of a target, what opens it, and what it gets (`taskbound.sdk.credential`)."""

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
    """What is asked for names no credential."""

    code = "bad-wish"
    remedy = "name a target and one of its kinds, with texts for the kind's own parameters"


class Opened(Protocol):
    """What was handed out, opened."""

    @property
    def open(self) -> Mapping[str, str]:
        """What may be shown."""

    @property
    def secret(self) -> Mapping[str, str]:
        """What may not."""


class Asker(Protocol):
    """The key of one request (rule 2)."""

    @property
    def public(self) -> str:
        """32 bytes of X25519, as base64url."""

    def open(self, sealed: str, *, namespace: str, target: str, credential: str) -> Opened:
        """What was sealed to this key for this credential; raises where it is anything else.

        It MUST raise too where a name of it decides what runs or who is spoken to (`core.tool.slot`, rule 2).
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A credential that is wanted.

    Raises:
        BadWishError: On making one that no target could have.
    """

    target: str
    kind: str
    seconds: int = 0
    """For how long; 0 for as long as its kind allows."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    renews: str = ""
    """The id of the credential that is to live longer; empty where a new one is wanted."""

    def __post_init__(self) -> None:
        """Require names that make a tool."""
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
        """As what it is asked for."""
        return join_tool_name(self.target, CREDENTIAL + self.kind)

    @property
    def arguments(self) -> bytes:
        """What is decided: canonical JSON."""
        given: dict[str, JsonValue] = dict(self.parameters)
        if self.seconds:
            given[SECONDS] = self.seconds
        if self.renews:
            given[RENEWS] = self.renews
        return canonical(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCredential:
    """One credential that this process has."""

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

    def renewed_for(self, seconds: int = 0) -> Wish:
        """What is asked to have it live longer; 0 seconds are as many as its kind allows."""
        return Wish(
            target=self.target, kind=self.kind, seconds=seconds, parameters=self.parameters, renews=self.id
        )

    def renew(self, seconds: int = 0) -> TaskCredential:
        """The same, once its target lets it live longer: a decision of its own, and people may be asked.

        Args:
            seconds: For how long from now on; 0 for as long as the kind allows. Its task's end is its own.

        Raises:
            CredentialDeniedError: The task does not get that; it ends when it did.
            TaskboundError: It could not be had; until it was, it ends when it did.
        """
        if self.renewer is None:
            raise BadWishError(
                "nobody who has this credential can ask for more", remedy="ask on its connection"
            )
        return self.renewer(self, seconds)

    def environment(self) -> dict[str, str]:
        """Both, as variables for a program; of a host, an agent is the better way (`sdk.ssh`)."""
        return {**self.open, **self.secret}
