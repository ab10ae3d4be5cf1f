"""Services (enforcement points and downstream systems), their owners, and the tools they enforce.

Tokens and records write `service:NAME`. Taskbound's own processes are services with reserved names. The
owner is a current person of the organization; without one the service is refused (law 9). The audience is
the absolute URI of tokens for it, not beneath our issuer, a gateway or the trust domain, and unique in its
namespace. It enforces tools by full name or by server (`server__*`), up to a limit, and may ask about no
others. Its own keys authenticate it, by stored thumbprints. A removed key never counts again in its
namespace.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity.person import PersonState, parse_name
from taskbound.core.tool.name import SEPARATOR, parse_server_name, parse_tool_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from taskbound.core.clock import Instant
    from taskbound.core.identity.person import Person


OURS: Final = frozenset({"api", "broker", "daemon", "egress", "front", "gateway", "network", "signer"})
"""Names that processes of ours have."""
MOST_SERVICES: Final = 256
"""Of one namespace."""
MOST_TOOLS: Final = 64
"""Names that one service enforces."""
MOST_KEYS: Final = 4
"""Keys of one service that count at once: one, and one that follows it."""
EVERY_TOOL: Final = "*"
"""What stands for every tool of a server, behind `server__`."""
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-\"$-~]{1,500}", re.ASCII)


class BadServiceError(MalformedError):
    """The service is malformed."""

    code = "bad-service"
    remedy = (
        "name an owner, an audience such as https://pay.example.com, and tools such as pay__refund or pay__*"
    )


class UnknownServiceError(DeniedError):
    """No current service has this name."""

    code = "unknown-service"
    remedy = "list them with `taskbound service list`"


class ServiceExistsError(DeniedError):
    """The name or audience is taken, or there are too many services."""

    code = "service-exists"
    remedy = "choose another name or audience, or remove the other service first"


class UnansweredServiceError(DeniedError):
    """The service has no current owner."""

    code = "unanswered-service"
    remedy = "have a person of this namespace own it: `taskbound service set NAME --owner PERSON`"


class UnknownServiceKeyError(DeniedError):
    """No service has this key, or it was removed."""

    code = "unknown-service-key"
    remedy = "add one with `taskbound service key add`; a key that was removed never counts again"


class NotEnforcedError(DeniedError):
    """The service does not enforce this tool."""

    code = "not-enforced"
    remedy = "have its owner declare it: `taskbound service set NAME --enforce TOOL`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """An enforcement point or a downstream system."""

    namespace: str
    name: str
    owner: str
    """The person who answers for it."""
    audience: str
    """As tokens of tasks say it in `aud`."""
    tools: tuple[str, ...]
    """What it enforces, in order: whole names, or `server__*`."""
    added: Instant
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """The public half of a service's key."""

    namespace: str
    kid: str
    """Its thumbprint (RFC 7638)."""
    service: str
    public: bytes
    """A JSON Web Key in canonical form."""
    added: Instant
    removed: Instant | None = None
    """When it ceased to count."""


def parse_service(
    namespace: str, name: str, *, owner: str, audience: str, tools: Iterable[str], added: Instant
) -> Service:
    parse_name(namespace, what="a namespace")
    parse_name(name, what="a service")
    if name in OURS:
        raise BadServiceError(f"`{name}` is a process of Taskbound's own", where="name")
    return Service(
        namespace=namespace,
        name=name,
        owner=parse_name(owner, what="a person"),
        audience=parse_audience(audience),
        tools=parse_enforced(tools),
        added=added,
    )


def parse_audience(text: str, *, ours: Collection[str] = ()) -> str:
    """Returns a service's audience, not in or beneath `ours`; raises BadServiceError."""
    if _URI.fullmatch(text) is None:
        raise BadServiceError("an audience is an absolute URI without a fragment", where="audience")
    folded = text.lower()
    for one in ours:
        base = one.lower().rstrip("/")
        if base and (folded == base or folded.startswith(f"{base}/")):
            raise BadServiceError(f"`{one}` is ours: tokens for it are for no service", where="audience")
    return text


def parse_enforced(tools: Iterable[str]) -> tuple[str, ...]:
    found = set(tools)
    for one in found:
        server, mark, tool = one.partition(SEPARATOR)
        if mark and tool == EVERY_TOOL:
            parse_server_name(server)
        else:
            parse_tool_name(one)
    if len(found) > MOST_TOOLS:
        raise BadServiceError(f"a service enforces at most {MOST_TOOLS} names of tools", where="tools")
    return tuple(sorted(found))


def require_answered_for(service: Service, owner: Person | None) -> None:
    """Raises UnansweredServiceError unless `owner`, as stored, is a current person."""
    if (
        owner is None
        or (owner.namespace, owner.name) != (service.namespace, service.owner)
        or owner.state is not PersonState.PRESENT
    ):
        raise UnansweredServiceError(
            f"the owner `{service.owner}` of service `{service.name}` is not a person of this namespace"
        )


def require_standing_key(key: ServiceKey | None, service: str = "") -> ServiceKey:
    """Returns a valid key, of `service` if named; raises UnknownServiceKeyError."""
    if key is None or key.removed is not None or service not in {"", key.service}:
        raise UnknownServiceKeyError("no service has that key, or not any more")
    return key


def require_enforces(service: Service, tool: str) -> None:
    """Raises NotEnforcedError unless the service enforces the tool."""
    server, mark, own = tool.partition(SEPARATOR)
    every = f"{server}{mark}{EVERY_TOOL}" if own else ""
    if own == EVERY_TOOL or (tool not in service.tools and every not in service.tools):
        raise NotEnforcedError(f"service `{service.name}` is not declared to enforce that tool")
