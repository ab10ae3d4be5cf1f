"""The kinds of systems that can be targets, and what differs between them in a target's file.

1. Each says what stands in `where`, and what a kind of credential has there beside what all kinds have.
2. A member that a system doesn't know refuses, as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from taskbound.core.dataclass import dataclass
from taskbound.core.target.grants import (
    github_grants,
    oauth_grants,
    openbao_grants,
    openssh_grants,
    postgres_grants,
    redis_grants,
    sts_grants,
)
from taskbound.core.target.where import (
    github_place,
    oauth_place,
    openbao_place,
    openssh_place,
    postgres_place,
    redis_place,
    sts_place,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.place import Place


POSTGRES: Final = "postgres"
OPENSSH: Final = "openssh"
OPENBAO: Final = "openbao"
OAUTH: Final = "oauth"
GITHUB: Final = "github"
REDIS: Final = "redis"
"""Valkey as well."""
STS: Final = "sts"


class SystemPlace(Protocol):
    """Where a target is."""

    @property
    def host(self) -> str:
        """A name, an address, or the absolute path of what is on this machine."""

    @property
    def port(self) -> int:
        """Where it listens."""

    @property
    def revocable(self) -> bool:
        """Whether what was minted there can be ended before it ends by itself, as the target's file says."""


class Grants(Protocol):
    """What a target lets a credential of a kind do."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """What is left to who asks, by name and sorted."""

    @property
    def words(self) -> str:
        """All of it in one line for people, with visible escapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """How a target's file speaks of one kind of system (rule 1)."""

    place: Callable[[JsonValue, Place], SystemPlace]
    """Reads `where`."""
    required: tuple[str, ...]
    """What a kind of credential must have here."""
    allowed: tuple[str, ...]
    """What it may have."""
    grants: Callable[[Mapping[str, JsonValue], Place], Grants]
    """Reads them."""
    renews: bool
    """Whether the end of what was minted there can be moved."""


SYSTEMS: Final[dict[str, System]] = {
    GITHUB: System(
        place=github_place,
        required=("permissions", "repositories"),
        allowed=("variable",),
        grants=github_grants,
        renews=False,
    ),
    OAUTH: System(
        place=oauth_place,
        required=("resource",),
        allowed=("audience", "details", "scopes", "variable"),
        grants=oauth_grants,
        renews=False,
    ),
    OPENBAO: System(
        place=openbao_place,
        required=("gives", "mount", "role"),
        allowed=("creds", "open", "roles"),
        grants=openbao_grants,
        renews=False,
    ),
    OPENSSH: System(
        place=openssh_place,
        required=("account",),
        allowed=("allows", "command", "principals", "root", "source"),
        grants=openssh_grants,
        renews=False,
    ),
    POSTGRES: System(
        place=postgres_place,
        required=("group",),
        allowed=("connections", "context"),
        grants=postgres_grants,
        renews=True,
    ),
    REDIS: System(
        place=redis_place,
        required=("commands",),
        allowed=("channels", "parameters", "reads", "writes"),
        grants=redis_grants,
        renews=True,
    ),
    STS: System(
        place=sts_place,
        required=("allows", "role"),
        allowed=("parameters",),
        grants=sts_grants,
        renews=False,
    ),
}
"""By the word that a target's file has for it."""
