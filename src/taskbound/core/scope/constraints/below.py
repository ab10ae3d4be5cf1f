"""The constraints below and prefix."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, ClassVar
from unicodedata import normalize

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import (
    CONTAINED,
    EXCLUDED,
    NOT_EXCLUDED,
    TEXT,
    Constraint,
    Form,
    Kind,
    NotContained,
)
from taskbound.core.scope.posix import resolve
from taskbound.core.scope.show import show
from taskbound.core.scope.values import MET, Mismatch, Verdict

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Containment, Exclusion, ReadConstraint
    from taskbound.core.scope.path import Place


_NOT_A_PATH = Mismatch(code="not-text", reason="is not a text, as a path is")
_OUTSIDE = Mismatch(code="path-outside", reason="is not inside the directory that is granted")
_LOOK_ALIKE = Mismatch(
    code="path-look-alike", reason="holds characters that some read as dots, slashes or other names"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Below(Constraint):
    """``{"below": "/dir"}``: the directory or a path below it, as written and after Unicode NFKC folding.

    Some servers fold, which turns a full-width slash into ``/``.
    """

    tag: ClassVar[str] = "below"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "This directory or a path below it: absolute, without . and .., no slash at the end.",
        "type": "string",
        "pattern": "^/",
    }
    directory: str
    inside: str = field(init=False, repr=False, compare=False)
    folded: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Ends the prefixes with a slash: ``/allowed_extra`` is not below ``/allowed``."""
        object.__setattr__(self, "inside", _with_slash(self.directory))
        object.__setattr__(self, "folded", _with_slash(normalize("NFKC", self.directory)))

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Below:
        """Reads the directory, which must be in normal form."""
        text = place.read_text(body)
        directory = resolve(text)
        if isinstance(directory, Mismatch):
            raise place.fault(f"{directory.reason}; write an absolute directory")
        if directory != text:
            raise place.fault(f"is not in its normal form; write `{show(directory)}`")
        return cls(directory=directory)

    def permits(self, value: JsonValue) -> Verdict:
        """Met by a path inside in both readings."""
        if not isinstance(value, str):
            return _NOT_A_PATH
        if value.startswith("/") and "/." not in value and not _with_slash(value).startswith(self.inside):
            return _OUTSIDE  # the quick way to say no: nothing in it could lead back inside
        path = resolve(value)
        if isinstance(path, Mismatch):
            return path
        if not _with_slash(path).startswith(self.inside):
            return _OUTSIDE
        return MET if value.isascii() or self._holds_folded(value) else _LOOK_ALIKE

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"a path at or below `{show(self.directory, name)}`"

    def value(self) -> JsonValue:
        return self.directory

    def known_within(self, other: Constraint) -> Containment:
        """A directory is within one that it is at or below, as written and as folded."""
        if not isinstance(other, Below):
            return NotContained(reason="a directory is only within a directory")
        if self.inside.startswith(other.inside) and self.folded.startswith(other.folded):
            return CONTAINED
        return NotContained(reason="its directory is not at or below the other's")

    def known_excludes(self, other: Constraint) -> Exclusion:
        if isinstance(other, Below) and not (
            self.inside.startswith(other.inside) or other.inside.startswith(self.inside)
        ):
            return EXCLUDED
        return NOT_EXCLUDED

    def _holds_folded(self, value: str) -> bool:
        folded = resolve(normalize("NFKC", value))
        return not isinstance(folded, Mismatch) and _with_slash(folded).startswith(self.folded)


def _with_slash(path: str) -> str:
    return path if path.endswith("/") else path + "/"


_NOT_TEXT = Mismatch(code="not-text", reason="is not a text")
_WRONG_PREFIX = Mismatch(code="wrong-prefix", reason="doesn't begin as it must")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix(Constraint):
    """``{"prefix": "s"}``: a text that begins with these code points. For paths use ``below``."""

    tag: ClassVar[str] = "prefix"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.TEXT})
    schema: ClassVar[Form] = {
        "description": "A text that begins so. Not for paths: use `below`, or `url`.",
        **TEXT,
    }
    prefix: str

    @classmethod
    def parse(cls, body: JsonValue, place: Place, _read: ReadConstraint) -> Prefix:
        """Refuses an empty prefix, which would permit every text."""
        return cls(prefix=place.read_text(body))

    def permits(self, value: JsonValue) -> Verdict:
        if not isinstance(value, str):
            return _NOT_TEXT
        return MET if value.startswith(self.prefix) else _WRONG_PREFIX

    def describe(self, name: str) -> str:
        """Completes "it must be …"."""
        return f"a text that begins with `{show(self.prefix, name)}`"

    def value(self) -> JsonValue:
        return self.prefix

    def known_within(self, other: Constraint) -> Containment:
        if isinstance(other, Prefix) and self.prefix.startswith(other.prefix):
            return CONTAINED
        return NotContained(reason="its texts begin otherwise than the other's")

    def known_excludes(self, other: Constraint) -> Exclusion:
        if isinstance(other, Prefix) and not (
            self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        ):
            return EXCLUDED
        return NOT_EXCLUDED
