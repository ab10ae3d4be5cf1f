"""Which tool each endpoint is, and what of a request a token must cover.

1. Undeclared endpoints are refused. Method and path are compared whole, as the service's routing sees them.
2. A digest covers only the body, so path and tool correspond, there is no query, the content type is the
   declared one, and no content encoding is allowed.
3. The action digest is made of the body. A token's `content_digest` is the agent's statement and was not
   decided: it is checked in addition. With `Body.CONTENT` the body is the arguments in the bytes that the
   token names; with `Body.ARGUMENTS` it is their canonical text, and the token need not name the request.
   No body means no arguments.
4. Headers that change method or path downstream are refused everywhere: else a public endpoint or another
   tool's token would open this one.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.sdk.verify import errors

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
    """An endpoint is declared incorrectly."""

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
        """Raises BadEndpointError for an invalid tool."""
        if _TOOL.fullmatch(self.tool) is None:
            raise BadEndpointError(f"`{self.tool}` is no tool")

    def require_covered(self, *, query: bool, types: Sequence[str], encodings: Sequence[str]) -> None:
        """Raises MalformedError unless a digest of the body covers the whole request (rule 2)."""
        if query:
            raise errors.QueryError("the request has a query", where="query")
        kind, mark, rest = (types[0] if types else "").partition(";")
        other = kind.strip(" \t").lower() != self.content_type
        if len(types) > 1 or other or (mark and _CHARSET.fullmatch(rest) is None):
            raise errors.ContentTypeError(
                f"the content is not said to be `{self.content_type}`", where="content-type"
            )
        if any(one.strip().lower() != "identity" for one in encodings):
            raise errors.ContentEncodedError("the content is encoded", where="content-encoding")


class Endpoints:
    """All endpoints of a service (rule 1)."""

    def __init__(self, tools: Mapping[str, str | Endpoint], *, public: Sequence[str] = ()) -> None:
        """`tools` maps `POST /path` to a tool or an `Endpoint`; `public` needs no token."""
        self._tools: dict[tuple[str, str], Endpoint] = {}
        for name, one in tools.items():
            self._tools[_place(name)] = Endpoint(tool=one) if isinstance(one, str) else one
        self._public = frozenset(map(_place, public))
        if not self._public.isdisjoint(self._tools):
            raise BadEndpointError("an endpoint is a tool and public")

    def is_public(self, method: str, path: str) -> bool:
        """Whether the endpoint needs no token; that says nothing about permission."""
        return (method, path) in self._public

    def of(self, method: str, path: str) -> Endpoint:
        """Returns the declared endpoint; raises EndpointUnknownError."""
        found = self._tools.get((method, path))
        if found is None:
            raise errors.EndpointUnknownError("no tool is declared for this method and path")
        return found


def require_not_rerouted(names: Iterable[str]) -> None:
    """Raises for headers that change method or path (rule 4); `_` counts as `-`."""
    for one in names:
        name = one.lower().replace("_", "-")
        if name in REROUTING:
            raise errors.HeaderUncoveredError(
                f"the header `{name}` makes another request of this one", where=name
            )


def _place(name: str) -> tuple[str, str]:
    method, _, path = name.partition(" ")
    if _METHOD.fullmatch(method) is None or _PATH.fullmatch(path) is None:
        raise BadEndpointError(f"`{name}` is no endpoint")
    return method, path
