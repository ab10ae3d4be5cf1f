"""A service behind WSGI whose every request is verified before the application sees it.

1. Every endpoint is declared (`Endpoints`): as a tool, or public.
2. The head is looked at before the body is read; the body is read whole, within a bound, and the
   application is given those very bytes. It is told what the token says in `environ["taskbound"]`. A body
   needs a length, or a server that says that its input ends (`wsgi.input_terminated`).
3. What the application answers is passed on as it comes. It is kept before the part is passed on that ends
   it by its `Content-Length`, and else when the application has no more.
4. An application that raises, or whose answer is not taken to its end, leaves a request of which nobody
   knows what came: it is not done again.
5. An answer that can't be kept is passed on all the same, since it is true; that it was done and not kept is
   raised when the server closes it. What the application raises is raised, whatever became of the claim.
6. Servers put lines of one name together with a comma: what may be several tokens is refused. They also
   take `_` for `-` in names; a token is what its signature says, whatever its header was called.
7. What is answered to a HEAD has no body: not every server leaves it out, and what is sent behind a head on a
   connection that stays is taken for the beginning of the next answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from taskbound.core.errors import TaskboundError
from taskbound.core.token.shared import Repeated
from taskbound.sdk.verify.endpoint import require_not_rerouted
from taskbound.sdk.verify.errors import (
    AnswerUnkeptError,
    BodyLargeError,
    BodyLengthError,
    EndpointUnknownError,
)
from taskbound.sdk.verify.refused import Refused, Step
from taskbound.sdk.verify.told import MAX_BODY, Recording, Told, tell_answer, tell_refused
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
"""What a request's connection has proven (`holder`, rule 1)."""

_CHUNK: Final = 65_536
_DIGITS: Final = 20
_HEADER: Final = "HTTP_"
"""How names of headers begin in an environment."""
_PHRASES: Final = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 409: "Conflict"}


class WsgiGuard:
    """An application of WSGI around another one, which it lets do what tokens permit."""

    def __init__(
        self,
        app: WsgiApp,
        verifier: Verifier,
        endpoints: Endpoints,
        *,
        showings: Showings | None = None,
        limit: int = MAX_BODY,
    ) -> None:
        """Stand before an application.

        Args:
            app: The application.
            verifier: Verifies.
            endpoints: Which tool each of its endpoints is.
            showings: What a connection has proven; nothing where it is not given.
            limit: Bytes of a body that are read.
        """
        self._app = app
        self._verifier = verifier
        self._endpoints = endpoints
        self._showings = showings
        self._limit = limit

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request; raises what the application raises."""
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
        """Let the application do it, and keep what it answers (rules 2 to 5)."""
        shown = {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        for name in ("HTTP_TRANSFER_ENCODING", "wsgi.file_wrapper", "wsgi.input_terminated"):
            shown.pop(name, None)
        shown["taskbound"] = accepted.said
        run = _Run(self._verifier, accepted, start_response)
        try:
            run.parts = self._app(shown, run.start)
        except BaseException:
            lost(self._verifier, accepted)  # 4
            raise
        return run

    def _refuse(
        self, environ: Environ, start_response: StartResponse, refused: Refused, tool: str
    ) -> Iterable[bytes]:
        told = tell_refused(refused, domain=self._verifier.service.domain, tool=tool)
        return _tell(environ, start_response, told)


class _Run(Iterator[bytes]):
    """One answer of the application, while the server takes it."""

    def __init__(self, verifier: Verifier, accepted: Accepted, start_response: StartResponse) -> None:
        self._verifier = verifier
        self._accepted = accepted
        self._start = start_response
        self._recording = Recording()
        self._whole: int | None = None
        self._said = False
        self._unkept: AnswerUnkeptError | None = None
        self.parts: Iterable[bytes] = ()
        self._each: Iterator[bytes] | None = None

    def start(self, status: str, headers: Headers, exc_info: ExcInfo = None) -> Callable[[bytes], object]:
        """Take the head from the application, and pass it on."""
        write = self._start(status, headers, *(() if exc_info is None else (exc_info,)))
        self._recording.start(int(status[:3]), headers)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        self._whole = int(lengths[0]) if len(lengths) == 1 and lengths[0].isdecimal() else None

        def written(part: bytes) -> object:
            self._add(part)
            return write(part)

        return written

    def __next__(self) -> bytes:
        """The next part (rule 3)."""
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
        """Let go of the answer.

        Raises:
            AnswerUnkeptError: Rule 5.
        """
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
            self._unkept = AnswerUnkeptError(answer)
            self._unkept.__cause__ = error

    def _lose(self) -> None:
        if not self._said:
            self._said = True
            lost(self._verifier, self._accepted)


def _path(environ: Environ) -> str:
    """The path as UTF-8, which the server gives byte by byte.

    Raises:
        EndpointUnknownError: It is none.
    """
    try:
        whole: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        return whole.encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise EndpointUnknownError("the path can't be read") from None


def _values(environ: Environ, name: str) -> tuple[str, ...]:
    value = environ.get(name, "")
    return (value,) if value else ()


def _body(environ: Environ, limit: int) -> bytes:
    """The whole body (rule 2).

    Raises:
        BodyLengthError: It has no length, two, or is shorter than that.
        BodyLargeError: It is too long.
    """
    said = environ.get("CONTENT_LENGTH") or ""
    chunked = bool(environ.get("HTTP_TRANSFER_ENCODING"))
    if chunked and (said or environ.get("wsgi.input_terminated") is not True):
        raise BodyLengthError("the body has no length that can be believed")
    if said and not (said.isascii() and said.isdecimal() and len(said) <= _DIGITS):
        raise BodyLengthError("`Content-Length` is no number")
    length = int(said) if said else None
    if length is not None and length > limit:
        raise BodyLargeError(f"the body has more than {limit} bytes")
    if length is None and not chunked:
        return b""
    parts, left = list[bytes](), limit + 1 if length is None else length
    while left > 0 and (part := environ["wsgi.input"].read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    if length is None and left == 0:
        raise BodyLargeError(f"the body has more than {limit} bytes")
    if length is not None and left > 0:
        raise BodyLengthError("the body ended before its length")
    return b"".join(parts)


def _tell(environ: Environ, start_response: StartResponse, told: Told) -> Iterable[bytes]:
    """Answer in the application's place (rule 7)."""
    start_response(f"{told.status} {_PHRASES.get(told.status, 'Answer')}", list(told.headers))
    return () if environ["REQUEST_METHOD"] == "HEAD" else (told.body,)
