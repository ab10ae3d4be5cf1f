"""A WSGI service whose every request is verified before the application sees it.

* Every endpoint is declared (`Endpoints`) as a tool or public. The head is checked before the body is read,
  whole and bounded; the application gets those bytes, and the token's content in `environ["taskbound"]`. A
  body needs a length or `wsgi.input_terminated`.
* The answer is kept before the part that completes its `Content-Length`, or at its end. If the application
  fails or its answer is not read to the end, the outcome is unknown and never repeated. An answer that
  can't be kept is sent all the same; AnswerUnkeptError is raised on close.
* Servers join equal headers with commas, so what may be several tokens is refused. They also read `_` as
  `-`.
* An answer to HEAD has no body, since some servers would send it as the start of the next answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from taskbound.core.errors import TaskboundError
from taskbound.core.token.shared import Repeated
from taskbound.sdk.verify import errors
from taskbound.sdk.verify.endpoint import require_not_rerouted
from taskbound.sdk.verify.refused import (
    MAX_BODY,
    HttpRefusal,
    Recording,
    Refused,
    Step,
    tell_answer,
    tell_refused,
)
from taskbound.sdk.verify.verifier import Accepted, Head
from taskbound.sdk.verify.waiting import lost

if TYPE_CHECKING:
    from types import TracebackType

    from taskbound.sdk.verify.endpoint import Endpoint, Endpoints
    from taskbound.sdk.verify.verifier import Verifier


Environ: TypeAlias = dict[str, Any]
Headers: TypeAlias = list[tuple[str, str]]
ExcInfo: TypeAlias = (
    "tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None"
)
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
WsgiApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
"""An application of WSGI (PEP 3333)."""
Showings: TypeAlias = Callable[[Environ], Collection[str]]
"""What a request's connection has proven."""

_CHUNK: Final = 65_536
_DIGITS: Final = 20
_HEADER: Final = "HTTP_"
"""How names of headers begin in an environment."""
_PHRASES: Final = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 409: "Conflict"}


class WsgiGuard:
    """A WSGI application around another one, which runs only what tokens permit."""

    def __init__(
        self,
        app: WsgiApp,
        verifier: Verifier,
        endpoints: Endpoints,
        *,
        showings: Showings | None = None,
        limit: int = MAX_BODY,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._endpoints = endpoints
        self._showings = showings
        self._limit = limit

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request; raises what the application raises."""
        tool = ""
        try:
            method, path = environ["REQUEST_METHOD"], _path(environ)
            require_not_rerouted(one.removeprefix(_HEADER) for one in environ if one.startswith(_HEADER))
            if self._endpoints.is_public(method, path):
                return self._app(environ, start_response)
            endpoint = self._endpoints.of(method, path)
            tool = endpoint.tool
            head = self._head(environ, path, endpoint)
            opened = self._verifier.open(head, endpoint)
            if isinstance(opened, Refused):
                return self._refuse(environ, start_response, opened, tool)
            body = _body(environ, self._limit)
        except TaskboundError as error:
            step = Step.ENDPOINT if not tool else Step.REQUEST
            return self._refuse(environ, start_response, Refused(error=error, step=step), tool)
        outcome = self._verifier.take(opened, body)
        match outcome:
            case Accepted():
                return self._run(outcome, body, environ, start_response)
            case Repeated():
                return _tell(environ, start_response, tell_answer(outcome.answer))
            case Refused():
                return self._refuse(environ, start_response, outcome, tool)

    def _head(self, environ: Environ, path: str, endpoint: Endpoint) -> Head:
        endpoint.require_covered(
            query=bool(environ.get("QUERY_STRING")),
            types=_values(environ, "CONTENT_TYPE"),
            encodings=_values(environ, "HTTP_CONTENT_ENCODING"),
        )
        return Head(
            tokens=_values(environ, "HTTP_TXN_TOKEN"),
            method=environ["REQUEST_METHOD"],
            path=path,
            shown=() if self._showings is None else self._showings(environ),
            proofs=_values(environ, "HTTP_DPOP"),
            digests=_values(environ, "HTTP_CONTENT_DIGEST"),
        )

    def _run(
        self, accepted: Accepted, body: bytes, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        shown = {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        for name in ("HTTP_TRANSFER_ENCODING", "wsgi.file_wrapper", "wsgi.input_terminated"):
            shown.pop(name, None)
        shown["taskbound"] = accepted.said
        run = _Run(self._verifier, accepted, start_response)
        try:
            run.parts = self._app(shown, run.start)
        except BaseException:
            lost(self._verifier, accepted)
            raise
        return run

    def _refuse(
        self, environ: Environ, start_response: StartResponse, refused: Refused, tool: str
    ) -> Iterable[bytes]:
        told = tell_refused(refused, domain=self._verifier.service.domain, tool=tool)
        return _tell(environ, start_response, told)


class _Run(Iterator[bytes]):
    def __init__(self, verifier: Verifier, accepted: Accepted, start_response: StartResponse) -> None:
        self._verifier = verifier
        self._accepted = accepted
        self._start = start_response
        self._recording = Recording()
        self._whole: int | None = None
        self._said = False
        self._unkept: errors.AnswerUnkeptError | None = None
        self.parts: Iterable[bytes] = ()
        self._each: Iterator[bytes] | None = None

    def start(self, status: str, headers: Headers, exc_info: ExcInfo = None) -> Callable[[bytes], object]:
        write = self._start(status, headers, *(() if exc_info is None else (exc_info,)))
        self._recording.start(int(status[:3]), headers)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        self._whole = int(lengths[0]) if len(lengths) == 1 and lengths[0].isdecimal() else None

        def written(part: bytes) -> object:
            self._add(part)
            return write(part)

        return written

    def __next__(self) -> bytes:
        if self._each is None:
            self._each = iter(self.parts)
        try:
            part = next(self._each)
        except StopIteration:
            self._end()
            raise
        except BaseException:
            self._lose()
            raise
        self._add(part)
        return part

    def close(self) -> None:
        try:
            close = getattr(self.parts, "close", None)
            if close is not None:
                close()
        finally:
            self._lose()
        if self._unkept is not None:
            raise self._unkept

    def _add(self, part: bytes) -> None:
        self._recording.add(part)
        if self._whole is not None and self._recording.length >= self._whole:
            self._end()

    def _end(self) -> None:
        if self._said or not self._recording.started:
            return
        self._said = True
        answer = self._recording.answer()
        try:
            self._verifier.answer(self._accepted, answer)
        except Exception as error:  # noqa: BLE001 - whatever it is: what the application answered is true
            self._unkept = errors.AnswerUnkeptError(answer)
            self._unkept.__cause__ = error

    def _lose(self) -> None:
        if not self._said:
            self._said = True
            lost(self._verifier, self._accepted)


def _path(environ: Environ) -> str:
    try:
        whole: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        return whole.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise errors.EndpointUnknownError("the path can't be read") from None


def _values(environ: Environ, name: str) -> tuple[str, ...]:
    value = environ.get(name, "")
    return (value,) if value else ()


def _body(environ: Environ, limit: int) -> bytes:
    said = environ.get("CONTENT_LENGTH") or ""
    chunked = bool(environ.get("HTTP_TRANSFER_ENCODING"))
    if chunked and (said or environ.get("wsgi.input_terminated") is not True):
        raise errors.BodyLengthError("the body has no length that can be believed")
    if said and not (said.isascii() and said.isdecimal() and len(said) <= _DIGITS):
        raise errors.BodyLengthError("`Content-Length` is no number")
    length = int(said) if said else None
    if length is not None and length > limit:
        raise errors.BodyLargeError(f"the body has more than {limit} bytes")
    if length is None and not chunked:
        return b""
    parts, left = list[bytes](), limit + 1 if length is None else length
    while left > 0 and (part := environ["wsgi.input"].read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if length is None and left == 0:
        raise errors.BodyLargeError(f"the body has more than {limit} bytes")
    if length is not None and left > 0:
        raise errors.BodyLengthError("the body ended before its length")
    return b"".join(parts)


def _tell(environ: Environ, start_response: StartResponse, told: HttpRefusal) -> Iterable[bytes]:
    start_response(f"{told.status} {_PHRASES.get(told.status, 'Answer')}", list(told.headers))
    return () if environ["REQUEST_METHOD"] == "HEAD" else (told.body,)
