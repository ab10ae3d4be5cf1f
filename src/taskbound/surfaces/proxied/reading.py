"""Parses the head of a request that a proxy shows.

1. Method and target are those of the proxy's request line; headers with the same data could come from the
   client.
2. The host must be one of the service's, because the proxy routes by it.
3. Headers that override method or path, or make a proxy repeat a request, are refused.
4. The body's length is declared and complete. `auth_request` shows no body, so its declared body must be
   empty.
5. Refusing a completely read request keeps the connection open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action.errors import TooLargeError
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.sdk.verify import Head, Refused, Step
from taskbound.sdk.verify.endpoint import REROUTING
from taskbound.sdk.verify.errors import BodyLargeError, BodyLengthError, HeaderUncoveredError
from taskbound.surfaces.http.errors import BadHttpError, NoLengthError
from taskbound.surfaces.http.head import read_length
from taskbound.surfaces.proxied.errors import BodyUnseenError, OtherHostError
from taskbound.surfaces.proxied.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskbound.sdk.verify import Endpoint, Endpoints


CONTENT: Final = "taskbound-content"
"""What nginx says of a body that it does not show."""
_PARTIAL: Final = "x-envoy-auth-partial-body"
_UNCOVERED: Final = REROUTING | {
    *("x-original-uri", "x-envoy-original-path"),
    *("x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-hedge-on-per-try-timeout"),
}
"""Rule 3."""
_ONCE: Final = frozenset({"host", "content-length", "transfer-encoding", _PARTIAL, CONTENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedServices:
    """The services that the guard protects."""

    proxy: Proxy
    hosts: frozenset[str]
    """What `Host` may be, in small letters."""
    endpoints: Endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxiedRequest:
    """A request's head and what is known of it."""

    length: int
    """Bytes of its body."""
    head: Head
    endpoint: Endpoint | None = None
    """None where it is public, or refused."""
    refused: Refused | None = None

    @property
    def tool(self) -> str:
        """The endpoint's tool; empty if unknown."""
        return "" if self.endpoint is None else self.endpoint.tool


def read_head(
    verb: str, target: str, fields: Sequence[tuple[bytes, bytes]], *, before: ProtectedServices, most: int
) -> ProxiedRequest:
    """Parses a head; header names in `fields` are lower case, `most` bounds the body in bytes."""
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name.decode("ascii"), []).append(value.decode("latin-1"))
    for one in _ONCE & found.keys():
        if len(found[one]) != 1:
            raise BadHttpError(f"the header `{one}` stands twice")
    length = _length({name: values[0] for name, values in found.items()}, most)
    path, mark, _ = target.partition("?")
    endpoint: Endpoint | None = None
    step = Step.ENDPOINT
    try:
        _require_host(found, before.hosts)
        public = before.endpoints.is_public(verb, path) and not mark
        if not public:
            endpoint = before.endpoints.of(verb, path)
        step = Step.REQUEST
        _require_alone(found)
        _require_shown(found, length, before.proxy)
        if endpoint is not None:
            endpoint.require_covered(
                query=bool(mark),
                types=found.get("content-type", ()),
                encodings=found.get("content-encoding", ()),
            )
    except TaskboundError as error:
        nothing = Head(tokens=())
        return ProxiedRequest(
            length=length, head=nothing, endpoint=endpoint, refused=Refused(error=error, step=step)
        )  # 5
    head = Head(
        tokens=found.get("txn-token", ()),
        method=verb,
        path=path,
        proofs=found.get("dpop", ()),
        digests=found.get("content-digest", ()),
    )
    return ProxiedRequest(length=length, head=head, endpoint=endpoint)


def _length(headers: Mapping[str, str], most: int) -> int:
    try:
        return read_length(headers, most)
    except TooLargeError as error:
        raise BodyLargeError(error.message) from error
    except NoLengthError as error:
        raise BodyLengthError(error.message) from error


def _require_host(found: Mapping[str, Sequence[str]], hosts: frozenset[str]) -> None:
    (host,) = found.get("host", ("",))
    if host.lower() not in hosts:
        raise OtherHostError("the request is for another host than the service's", where="host")


def _require_alone(found: Mapping[str, Sequence[str]]) -> None:
    for one in sorted(_UNCOVERED & found.keys()):
        raise HeaderUncoveredError(f"the header `{one}` makes another request of this one", where=one)


def _require_shown(found: Mapping[str, Sequence[str]], length: int, proxy: Proxy) -> None:
    match proxy:
        case Proxy.ENVOY if length and found.get(_PARTIAL) != ["false"]:
            raise BodyUnseenError("the proxy does not say that it showed the whole body")
        case Proxy.AUTH_REQUEST if length or found.get(CONTENT, ["0"]) != ["0"]:
            raise BodyUnseenError("the request has a body, which this kind of check does not show")
        case _:
            pass
