"""Services: enforcement points and systems downstream, who answers for them, and what they enforce.

1. A service has a name of its own kind: tokens and records call it `service:NAME`, so that it is never taken
   for an agent or a person of that name. Processes of ours are services to policies too, and have names
   that no other one can have.
2. Its owner is a person of the organization, today. Without one it is refused everywhere (law 9).
3. Its audience is the one resource by which tokens of tasks are meant for it: an absolute URI, and nothing
   that is our issuer's, a gateway's or the trust domain's. No two services of a namespace share one.
4. It enforces tools by their whole names, or all of one server (`server__*`); there are so many at most.
   What it does not enforce is not its to ask about; one that enforces none may ask about none.
5. It is proven by keys of its own, whose public halves stand here by their thumbprints. A key that was
   removed never counts again, in its namespace.
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
"""Names that processes of ours have (rule 1)."""
MOST_SERVICES: Final = 256
"""Of one namespace."""
MOST_TOOLS: Final = 64
"""Names that one service enforces (rule 4)."""
MOST_KEYS: Final = 4
"""Keys of one service that count at once: one, and one that follows it."""
EVERY_TOOL: Final = "*"
"""What stands for every tool of a server, behind `server__` (rule 4)."""
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-\"$-~]{1,500}", re.ASCII)


class BadServiceError(MalformedError):
    """A service was written down that can't be."""

    code = "bad-service"
    remedy = (
        "name an owner, an audience such as https://pay.example.com, and tools such as pay__refund or pay__*"
    )


class UnknownServiceError(DeniedError):
    """No service has this name, or not any more."""

    code = "unknown-service"
    remedy = "list them with `taskbound service list`"


class ServiceExistsError(DeniedError):
    """Another service has this name or this audience, or there are too many."""

    code = "service-exists"
    remedy = "choose another name or audience, or remove the other service first"


class UnansweredServiceError(DeniedError):
    """Nobody answers for the service (rule 2)."""

    code = "unanswered-service"
    remedy = "have a person of this namespace own it: `taskbound service set NAME --owner PERSON`"


class UnknownServiceKeyError(DeniedError):
    """No service has such a key, or not any more (rule 5)."""

    code = "unknown-service-key"
    remedy = "add one with `taskbound service key add`; a key that was removed never counts again"


class NotEnforcedError(DeniedError):
    """The service is not declared to enforce this tool (rule 4)."""

    code = "not-enforced"
    remedy = "have its owner declare it: `taskbound service set NAME --enforce TOOL`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """An enforcement point, or a system downstream."""

    namespace: str
    name: str
    owner: str
    """The person who answers for it (rule 2)."""
    audience: str
    """As tokens of tasks say it in `aud` (rule 3)."""
    tools: tuple[str, ...]
    """What it enforces, in order: whole names, or `server__*` (rule 4)."""
    added: Instant
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """The public half of a key that proves a service."""

    namespace: str
    kid: str
    """Its thumbprint (RFC 7638)."""
    service: str
    public: bytes
    """A JSON Web Key in canonical form."""
    added: Instant
    removed: Instant | None = None
    """When it ceased to count (rule 5)."""


def parse_service(
    namespace: str, name: str, *, owner: str, audience: str, tools: Iterable[str], added: Instant
) -> Service:
    """The service that these texts say.

    Args:
        namespace: Where it is.
        name: Its name, as persons and agents are named.
        owner: The person who answers for it.
        audience: As `parse_audience` has it.
        tools: As `parse_enforced` has them.
        added: When.

    Raises:
        BadNameError: A name can't be one.
        BadServiceError: It can't be a service, or its name is a process's of ours (rules 1, 3, 4).
        BadToolNameError: What it enforces is no tool's name; and what else `parse_tool_name` raises.
    """
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
    """The audience of a service (rule 3).

    Args:
        text: An absolute URI in ASCII, without spaces or a fragment.
        ours: Names of our own that it can't be, nor stand beneath.

    Raises:
        BadServiceError: It is none, or ours.
    """
    if _URI.fullmatch(text) is None:
        raise BadServiceError("an audience is an absolute URI without a fragment", where="audience")
    folded = text.lower()
    for one in ours:
        base = one.lower().rstrip("/")
        if base and (folded == base or folded.startswith(f"{base}/")):
            raise BadServiceError(f"`{one}` is ours: tokens for it are for no service", where="audience")
    return text


def parse_enforced(tools: Iterable[str]) -> tuple[str, ...]:
    """What a service enforces, each once and in order (rule 4).

    Raises:
        BadServiceError: There are too many.
        MalformedError: One is no tool's name, and no `server__*`.
    """
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
    """Go on only while somebody answers for the service (rule 2).

    Args:
        service: The service.
        owner: The person of its owner's name, as the store has them.

    Raises:
        UnansweredServiceError: Nobody does.
    """
    if (
        owner is None
        or (owner.namespace, owner.name) != (service.namespace, service.owner)
        or owner.state is not PersonState.PRESENT
    ):
        raise UnansweredServiceError(
            f"the owner `{service.owner}` of service `{service.name}` is not a person of this namespace"
        )


def require_standing_key(key: ServiceKey | None, service: str = "") -> ServiceKey:
    """The key, which counts (rule 5).

    Args:
        key: As the store has it.
        service: Whose it has to be; empty for anybody's.

    Raises:
        UnknownServiceKeyError: There is none, it was removed, or it is another's.
    """
    if key is None or key.removed is not None or service not in {"", key.service}:
        raise UnknownServiceKeyError("no service has that key, or not any more")
    return key


def require_enforces(service: Service, tool: str) -> None:
    """Go on only with a tool that the service is declared to enforce (rule 4).

    Raises:
        NotEnforcedError: It is not.
    """
    server, mark, own = tool.partition(SEPARATOR)
    every = f"{server}{mark}{EVERY_TOOL}" if own else ""
    if own == EVERY_TOOL or (tool not in service.tools and every not in service.tools):
        raise NotEnforcedError(f"service `{service.name}` is not declared to enforce that tool")
