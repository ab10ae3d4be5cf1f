"""Lines of our own: envelopes around bytes that are JSON already.

No value is read or encoded again here; whoever calls brings canonical or exact bytes.
"""

from __future__ import annotations

from typing import Final

from taskbound.core.action.canonical import quote

NULL: Final = b"null"


def text(value: str) -> bytes:
    """A text as JSON, with every character that ends a line for anyone as an escape."""
    written = quote(value)
    if not written.isascii():
        for odd in "\x85\u2028\u2029":
            written = written.replace(odd, f"\\u{ord(odd):04x}")
    return written.encode("utf-8", "replace")


def request_line(number: int, method: str, params: bytes) -> bytes:
    """A request under an id of ours."""
    return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}\n' % (number, text(method), params)


def asking_line(name: str, method: str, params: bytes) -> bytes:
    """A request to a client, under a name of ours."""
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}\n' % (text(name), text(method), params)


def notice_line(method: str, params: bytes = b"") -> bytes:
    """A notification."""
    if not params:
        return b'{"jsonrpc":"2.0","method":%b}\n' % text(method)
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}\n' % (text(method), params)


def result_line(request: bytes, result: bytes) -> bytes:
    """The answer to a request, by the exact bytes of its id."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (request, result)


def error_line(request: bytes, error: bytes) -> bytes:
    """The answer that a request failed, with the exact bytes of the error."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (request, error)


def failure_line(request: bytes, code: int, message: str, data: bytes = b"") -> bytes:
    """The answer that a request failed; `request` is `null` when it is not known."""
    more = b',"data":%b' % data if data else b""
    error = b'{"code":%d,"message":%b%b}' % (code, text(message), more)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (request, error)
