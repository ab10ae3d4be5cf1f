"""Shows a value in a sentence: short, escaped, without secrets.

1. A value is one line of JSON of at most 80 characters; a cut ends in ``…``.
2. Characters that could hide or move text are escaped, also the backtick, which fences foreign text.
3. A text is hidden if its argument's name suggests a secret or its form is that of a well-known secret. This
   is no boundary: other secrets are shown.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

from taskbound.core.action.canonical import number_text
from taskbound.core.action.text import escape_text
from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.action.canonical import JsonValue


_WIDTH = 80
_HIDDEN = "(hidden)"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_SEARCHED = 4096
_SEPARATORS = re.compile(r"[\s_.\-]+")
_SECRET_NAME = re.compile(
    r"pass(?:word|wd|phrase|code)|secret|token(?!s)|apikey|accesskey|privatekey|credential|authorization|bearer|cookie"
    r"|^(?:pin|otp|cvv|cvc|pwd|auth)$",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[opsru]_[A-Za-z0-9]|\bgithub_pat_|\bglpat-|\bxox[abeprs]-"
    r"|\bsk-[A-Za-z0-9]"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12}|\beyJ[A-Za-z0-9_-]{10,}\.|\bhv[bs]\.[A-Za-z0-9]|://[^/\s:@]*:[^/\s@]+@"
    r"|\b[Bb]earer [A-Za-z0-9]|\b[Bb]asic [A-Za-z0-9+/]{8}"
)


def kind_of(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def quote(text: str) -> str:
    """Returns a text as short escaped JSON, to be put in backticks."""
    return _shorten(_escape(text))


def bare(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else quote(name)


def show(value: JsonValue, name: str = "") -> str:
    """Returns a value as short escaped JSON, or a word that says it is hidden by its name or form."""
    pieces: list[str] = []
    length = 0
    for piece in _pieces(value, name):
        pieces.append(piece)
        length += len(piece)
        if length > _WIDTH:
            break
    return _shorten("".join(pieces))


def is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(_SEPARATORS.sub("", name)) is not None


def _is_secret(text: str, name: str) -> bool:
    if not text:
        return False
    if is_secret_name(name):
        return True
    return _SECRET_TEXT.search(text[:_SEARCHED]) is not None


def _escape(text: str) -> str:
    plain = escape_text(text[:_WIDTH]).replace('"', '\\"').replace("`", "\\u{60}")
    return f'"{plain}…"' if len(text) > _WIDTH else f'"{plain}"'


def _shorten(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _pieces(value: JsonValue, name: str) -> Iterator[str]:
    """Yields the JSON of a value in pieces, so that a large one costs no more than what is shown."""
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case int():
            yield str(value)
        case float():
            yield number_text(value) if isfinite(value) else "no number"
        case str():
            yield _HIDDEN if _is_secret(value, name) else _escape(value)
        case list():
            yield "["
            for index, item in enumerate(value):
                yield "," if index else ""
                yield from _pieces(item, name)
            yield "]"
        case _:
            yield "{"
            for index, key in enumerate(sorted(value)):
                yield ("," if index else "") + _escape(key) + ":"
                yield from _pieces(value[key], key)
            yield "}"


class ScopeSyntaxError(MalformedError):
    """The scope is not valid; ``where`` names the place."""

    code: ClassVar[str] = "scope-syntax"
    remedy: ClassVar[str] = "correct the scope at the place named; docs/reference/scope.md has the language"
