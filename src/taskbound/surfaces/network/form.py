"""The form that is posted to an endpoint of OAuth, read strictly.

1. It is declared as `application/x-www-form-urlencoded`, as it is, and nothing is said in the query (A139).
2. It is ASCII with strict percent-encoding of UTF-8 without control characters. A name stands once, whatever
   it means (RFC 6749 §3.2); a name without a value is as if it were left out (§3.1).
3. So many bytes and names are read, and no more.
4. What a person pastes may have lines, where it is a form of our own page: in one parameter that is named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Mapping


_TYPE: Final = re.compile(
    r'application/x-www-form-urlencoded(?:[ \t]*;[ \t]*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE
)
_PART: Final = re.compile(rb"(?:[A-Za-z0-9._~!$'()*,;:@/?+-]|%[0-9A-Fa-f]{2})*")
_ENCODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LONGEST: Final = 65_536
"""Bytes of a form."""
_MOST: Final = 32


class BadFormError(MalformedError):
    """What is posted to an endpoint of OAuth is no form of it."""

    code = "bad-form"
    remedy = "post `application/x-www-form-urlencoded`, each parameter once, and none in the URL"


def read_form(
    headers: Mapping[str, str], query: Mapping[str, str], body: bytes, lined: str = ""
) -> dict[str, str]:
    """The parameters of a form (rules 1 to 3).

    Args:
        headers: Of the request, by names in lower case.
        query: What its URL says beside the path.
        body: Its body.
        lined: The one parameter that may have lines, which end with a line feed then (rule 4).

    Raises:
        BadFormError: By the first rule that is broken.
    """
    if query:
        raise BadFormError("an endpoint of OAuth takes nothing from the URL")  # 1
    if _TYPE.fullmatch(headers.get("content-type", "")) is None or "content-encoding" in headers:
        raise BadFormError("the body is not declared to be a plain form")  # 1
    if len(body) > LONGEST:
        raise BadFormError(f"a form has at most {LONGEST} bytes")  # 3
    parts = body.split(b"&") if body else []
    if len(parts) > _MOST:
        raise BadFormError(f"a form has at most {_MOST} parameters")  # 3
    found: dict[str, str] = {}
    for part in parts:
        raw, _, rest = part.partition(b"=")
        name = _decode(raw)
        value = _decode(rest, lined=bool(lined) and name == lined)
        if not name or name in found:
            raise BadFormError("a parameter has no name, or stands twice")  # 2
        found[name] = value
    return {name: value for name, value in found.items() if value}


def _decode(raw: bytes, *, lined: bool = False) -> str:
    if _PART.fullmatch(raw) is None:
        raise BadFormError("the form is not percent-encoded ASCII")
    plain = _ENCODED.sub(lambda seen: bytes([int(seen[1], 16)]), raw.replace(b"+", b" "))
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadFormError("the form is no UTF-8") from error
    if lined:
        text = text.replace("\r\n", "\n")  # 4
    if _CONTROL.search(text.replace("\n", "") if lined else text):
        raise BadFormError("the form has a control character")
    return text
