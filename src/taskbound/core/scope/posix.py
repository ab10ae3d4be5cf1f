"""Finds the file that a POSIX path names, if the text alone shows it.

Symbolic links are not resolved, so a path below a directory may lead out of it through a link; the server's
roots and the operating system must prevent that (docs/reference/scope.md). Refused, because the file is
unknown or readers disagree:

1. an empty path, one of more than 4,095 bytes, or a name of more than 255 (Linux PATH_MAX, NAME_MAX);
2. control characters;
3. a relative path, also one that begins with ``~``;
4. a backslash, which other systems read as a slash;
5. ``%2e`` and the like, which a server may decode again;
6. ``~`` at the start of a name, ``$X``, ``${X}``, ``$(x)``, backticks; wildcards in a name that begins with a
   dot and braces with a choice, since ``.*`` and ``{.,}.`` can be ``..``;
7. an empty name (``//``), after which a naive join starts at the root;
8. a longer name that begins with ``..``, which a filter may cut to ``..``;
9. a name that Windows reads differently: a final dot or space, a stream, an 8.3 name, a device.

Then ``.`` and ``..`` are resolved by text; the parent of the root is the root.
"""

from __future__ import annotations

import re
from typing import Final

from taskbound.core.scope.values import Mismatch

_PATH_MAX: Final = 4095
_NAME_MAX: Final = 255

_EMPTY = Mismatch(code="path-empty", reason="is empty")
_TOO_LONG = Mismatch(code="path-too-long", reason="is longer than a path or a name in one can be")
_RELATIVE = Mismatch(
    code="path-relative", reason="is not an absolute path, and what it starts from can't be known"
)

_FAULTS: Final = {
    "control": Mismatch(code="path-control", reason="holds a control character"),
    "backslash": Mismatch(code="path-backslash", reason="holds a backslash, which some read as a slash"),
    "percent": Mismatch(
        code="path-percent", reason="holds a percent escape, which may be decoded to something else"
    ),
    "foreign": Mismatch(code="path-foreign", reason="holds a name that some file systems read as another"),
    "expansion": Mismatch(code="path-expansion", reason="holds what may be expanded to something else"),
    "doubled": Mismatch(code="path-doubled-slash", reason="holds an empty name between two slashes"),
    "dots": Mismatch(code="path-dots", reason="holds a name that begins with two dots"),
}
# One pass; every alternative is linear, and the first that fits names the fault.
_FAULT: Final = re.compile(
    r"(?P<control>[\x00-\x1f\x7f-\x9f\u2028\u2029])"
    r"|(?P<backslash>\\)"
    r"|(?P<percent>%(?:[0-9A-Fa-f]{2}|[uU]))"
    r"|(?P<foreign>::\$"
    r"| (?=/|\Z)|(?<=[^/.])\.+(?=/|\Z)"
    r"|/[^/.~]{1,6}~[0-9]{1,6}(?:\.[^/.]{0,3})?(?=/|\Z)"
    r"|(?i:/(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?=[/.:]|\Z)))"
    r"|(?P<expansion>/~|\$[A-Za-z_{(\[]|`|/\.[^/*?\[]*[*?\[])"
    r"|(?P<doubled>//)"
    r"|(?P<dots>/\.\.[^/])"
)


def resolve(path: str) -> str | Mismatch:
    """Returns the normal form, such as ``/a/c`` for ``/a/./b/../c/``, or why the path is refused."""
    fault = _fault_of(path)
    if fault is not None:
        return fault
    if "/." not in path:
        return path.rstrip("/") or "/"
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return "/" + "/".join(names)


def _fault_of(path: str) -> Mismatch | None:
    if not path:
        return _EMPTY  # rule 1
    if _is_too_long(path):
        return _TOO_LONG
    found = _FAULT.search(path)  # rules 2 and 4 to 9
    if found is not None and found.lastgroup is not None:
        return _FAULTS[found.lastgroup]
    if _has_choice(path):
        return _FAULTS["expansion"]  # rule 6
    return None if path.startswith("/") else _RELATIVE  # rule 3


def _has_choice(path: str) -> bool:
    """Returns whether shells may read a brace as several paths."""
    _, _, rest = path.partition("{")
    return "," in rest or ".." in rest


def _is_too_long(path: str) -> bool:
    if len(path) > _PATH_MAX:
        return True
    if len(path) * 4 <= _NAME_MAX:
        return False
    raw = path.encode("utf-8", "surrogatepass")
    return len(raw) > _PATH_MAX or any(len(name) > _NAME_MAX for name in raw.split(b"/"))
