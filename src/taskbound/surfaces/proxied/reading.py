"""The head of a request that a proxy shows, as far as it has to be the one that the proxy passes on.

1. Method and target are those of the request line that the proxy sends: the request's own, as they came.
   Nothing is read of headers that say the same, which a client can send, too.
2. The host is one of the service's: by it a proxy chooses where a request goes.
3. A header by which a service takes another method or path, or by which a proxy repeats a request, makes
   another request of it: it is refused.
4. The body has a length that is told, and is whole. Envoy says of each that it is. `auth_request` shows none:
   nginx says there how long it would be, or how it is sent, and then it has to be none.
5. A refusal of what was read whole is no error of the connection: it is answered, and the next one read.
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
class Before:
    """What the guard stands before."""

    proxy: Proxy
    hosts: frozenset[str]
    """What `Host` may be, in small letters."""
    endpoints: Endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request's head, and what is known of it so far."""

    length: int
    """Bytes of its body."""
    head: Head
    endpoint: Endpoint | None = None
    """None where it is public, or refused."""
    refused: Refused | None = None

    @property
    def tool(self) -> str:
        """The tool that it is; empty where that is not known."""
        return "" if self.endpoint is None else self.endpoint.tool


def read_head(
    verb: str, target: str, fields: Sequence[tuple[bytes, bytes]], *, before: Before, most: int
) -> Asked:
    """What a head says.

    Args:
        verb: The method.
        target: What it asks for, as it was written.
        fields: Names in lower case and values of headers, in order.
        before: What the guard stands before.
        most: Bytes of a body that are read.

    Raises:
        BodyLargeError: The body is longer.
        BodyLengthError: Its length is not told.
        BadHttpError: What may stand once stands twice.
    """
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
        return Asked(
            length=length, head=nothing, endpoint=endpoint, refused=Refused(error=error, step=step)
        )  # 5
    head = Head(
        tokens=found.get("txn-token", ()),
        method=verb,
        path=path,
        proofs=found.get("dpop", ()),
        digests=found.get("content-digest", ()),
    )
    return Asked(length=length, head=head, endpoint=endpoint)


def _length(headers: Mapping[str, str], most: int) -> int:
    """Bytes of the body (rule 4)."""
    try:
        return read_length(headers, most)
    except TooLargeError as error:
        raise BodyLargeError(error.message) from error
    except NoLengthError as error:
        raise BodyLengthError(error.message) from error


def _require_host(found: Mapping[str, Sequence[str]], hosts: frozenset[str]) -> None:
    """Go on only with a request for the service (rule 2)."""
    (host,) = found.get("host", ("",))
    if host.lower() not in hosts:
        raise OtherHostError("the request is for another host than the service's", where="host")


def _require_alone(found: Mapping[str, Sequence[str]]) -> None:
    """Go on only with a request that nothing in it makes another one of (rule 3)."""
    for one in sorted(_UNCOVERED & found.keys()):
        raise HeaderUncoveredError(f"the header `{one}` makes another request of this one", where=one)


def _require_shown(found: Mapping[str, Sequence[str]], length: int, proxy: Proxy) -> None:
    """Go on only with a body that is whole (rule 4)."""
    match proxy:
        case Proxy.ENVOY if length and found.get(_PARTIAL) != ["false"]:
            raise BodyUnseenError("the proxy does not say that it showed the whole body")
        case Proxy.AUTH_REQUEST if length or found.get(CONTENT, ["0"]) != ["0"]:
            raise BodyUnseenError("the request has a body, which this form of asking shows nobody")
        case _:
            pass
