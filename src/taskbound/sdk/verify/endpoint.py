"""Which tool each endpoint of a service is, and what of a request has to be covered by a token.

1. What is not declared is refused: an endpoint is a tool, or it is public by name. Method and path are
   compared whole, as the service's own routing sees them.
2. A digest covers the body and nothing else. So an endpoint's path says nothing beside which tool it is,
   there is no query, the content type is the declared one, and no content encoding makes other bytes of the
   body.
3. The body is the tool's arguments, and the action digest is made of them: what was decided, approved and
   limited is what runs. A token's `content_digest` is the agent's word for what it will send, which nobody
   decided on; it binds the bytes beside that, and never instead. By `Body.CONTENT` the body is the arguments
   in the spelling that the token names; by `Body.ARGUMENTS` it is their canonical text, and the token need
   not name the request. A request without a body has no arguments.
4. A header by which what stands behind us takes the request for another method or path is refused, whatever
   was asked for: a public endpoint would be a way to one that is a tool, and one tool's token to another.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.sdk.verify.errors import (
    ContentEncodedError,
    ContentTypeError,
    EndpointUnknownError,
    HeaderUncoveredError,
    QueryError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


REROUTING: Final = frozenset(
    {
        *("x-http-method", "x-http-method-override", "x-method-override"),
        *("x-original-url", "x-rewrite-url"),
    }
)
"""In small letters (rule 4)."""

_METHOD: Final = re.compile(r"[A-Z]{1,20}", re.ASCII)
_PATH: Final = re.compile(r"/[A-Za-z0-9/._~-]*", re.ASCII)
_TOOL: Final = re.compile(r"[A-Za-z0-9._-]{1,200}__[A-Za-z0-9._-]{1,200}", re.ASCII)
_CHARSET: Final = re.compile(r"[ \t]*charset[ \t]*=[ \t]*\"?utf-8\"?[ \t]*", re.ASCII | re.IGNORECASE)


class BadEndpointError(MalformedError):
    """An endpoint is not declared as it has to be."""

    code = "bad-endpoint"
    remedy = "declare `POST /path`, of letters, digits and `/._~-`, and its tool as `server__tool`"


class Body(Enum):
    """What binds a token to the body of a request (rule 3)."""

    CONTENT = "content"
    ARGUMENTS = "arguments"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint that is a tool."""

    tool: str
    """`server__tool`."""
    body: Body = Body.CONTENT
    definition: str = ""
    """The digest of the tool's pinned definition; empty where tokens say it."""
    content_type: str = "application/json"
    """In small letters; empty for a request that has none."""

    def __post_init__(self) -> None:
        """Refuse what is no tool.

        Raises:
            BadEndpointError: It is none.
        """
        if _TOOL.fullmatch(self.tool) is None:
            raise BadEndpointError(f"`{self.tool}` is no tool")

    def require_covered(self, *, query: bool, types: Sequence[str], encodings: Sequence[str]) -> None:
        """Go on only with a request of which a digest of its body covers everything that counts (rule 2).

        Args:
            query: Whether it has a query.
            types: The values of `Content-Type`.
            encodings: The values of `Content-Encoding`.

        Raises:
            MalformedError: It is not so.
        """
        if query:
            raise QueryError("the request has a query", where="query")
        kind, mark, rest = (types[0] if types else "").partition(";")
        other = kind.strip(" \t").lower() != self.content_type
        if len(types) > 1 or other or (mark and _CHARSET.fullmatch(rest) is None):
            raise ContentTypeError(
                f"the content is not said to be `{self.content_type}`", where="content-type"
            )
        if any(one.strip().lower() != "identity" for one in encodings):
            raise ContentEncodedError("the content is encoded", where="content-encoding")


class Endpoints:
    """All of a service's (rule 1)."""

    def __init__(self, tools: Mapping[str, str | Endpoint], *, public: Sequence[str] = ()) -> None:
        """Keep what is declared.

        Args:
            tools: By `POST /path`: the tool, or the endpoint.
            public: What needs no token, as `GET /livez`.

        Raises:
            BadEndpointError: One is not declared as it has to be, or twice.
        """
        self._tools: dict[tuple[str, str], Endpoint] = {}
        for name, one in tools.items():
            self._tools[_place(name)] = Endpoint(tool=one) if isinstance(one, str) else one
        self._public = frozenset(map(_place, public))
        if not self._public.isdisjoint(self._tools):
            raise BadEndpointError("an endpoint is a tool and public")

    def is_public(self, method: str, path: str) -> bool:
        """Whether this needs no token: which says nothing of whether it may be done."""
        return (method, path) in self._public

    def of(self, method: str, path: str) -> Endpoint:
        """The endpoint.

        Raises:
            EndpointUnknownError: None is declared.
        """
        found = self._tools.get((method, path))
        if found is None:
            raise EndpointUnknownError("no tool is declared for this method and path")
        return found


def require_not_rerouted(names: Iterable[str]) -> None:
    """Go on only with a request that is for the method and path that it was sent to (rule 4).

    Args:
        names: Of its headers; servers of WSGI take `_` for `-` in them, and so does this.

    Raises:
        HeaderUncoveredError: One makes another request of it.
    """
    for one in names:
        name = one.lower().replace("_", "-")
        if name in REROUTING:
            raise HeaderUncoveredError(f"the header `{name}` makes another request of this one", where=name)


def _place(name: str) -> tuple[str, str]:
    method, _, path = name.partition(" ")
    if _METHOD.fullmatch(method) is None or _PATH.fullmatch(path) is None:
        raise BadEndpointError(f"`{name}` is no endpoint")
    return method, path
