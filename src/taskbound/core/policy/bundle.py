"""A bundle of policies: content, digest, and which bundle is in force.

1. A file name is 1 to 100 of a-z, 0-9, `.`, `_` and `-`, begins with a letter or digit and ends with
   `.cedar`.
2. The stored form is RFC 8785 over names and texts; its SHA-256 is the digest. A damaged bundle is not read.
3. `base.cedar` comes with Taskbound and is part of every bundle. No other file has that name, and no other
   policy a name that begins with `base:`.
4. A bundle has at most 500 files of each kind and 3 MiB in its stored form, so it fits one frame.

A person other than the author (linked persons count as one) puts a bundle in force, unless the author is the
only person; the record says so. Anybody may go back, but only to a bundle that was in force. Changes are
numbered; of two concurrent changes the second fails.
"""

from __future__ import annotations

import re
from dataclasses import field
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError, UnavailableError
from taskbound.core.identity.person import PersonState, human_of, humans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.identity import Person


BASE_FILE: Final = "base.cedar"
MAX_BUNDLE: Final = 3 * 1_048_576
"""Bytes of all its files."""
MAX_FILES: Final = 500
_BASE: Final = "base:"
_NAME: Final = re.compile(r"(?=.{1,100}\Z)[a-z0-9][a-z0-9._-]*\.cedar")
_CASES: Final = re.compile(r"(?=.{1,100}\Z)[a-z0-9][a-z0-9._-]*\.cases\.(json|ya?ml)")
_LIMITS: Final = Limits(size=2 * MAX_BUNDLE)


class BadBundleError(MalformedError):
    """The files cannot be a bundle of policies."""

    code = "bad-bundle"
    remedy = "give a folder of `*.cedar` files; see docs/guides/policies.md"


class DamagedBundleError(UnavailableError):
    """The stored bundle does not match its digest."""

    code = "damaged-bundle"
    remedy = "go back to another one with `taskbound policy rollback`, and look at the disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBundle:
    """All files of a bundle, sorted by name."""

    files: Mapping[str, str]
    """Its rules, those of the base included."""
    cases: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, str]:
        return {name: text for name, text in self.files.items() if name != BASE_FILE}

    @property
    def base(self) -> str:
        return self.files[BASE_FILE]

    @property
    def text(self) -> str:
        return text_of(self.files)


def require_names(files: Mapping[str, str], cases: Iterable[str] = ()) -> None:
    """Raises BadBundleError if names of policy or case files break rules 1, 3 or 4, or are missing."""
    if not files:
        raise BadBundleError("there is no file of policies")
    if len(files) > MAX_FILES:
        raise BadBundleError(f"there are more than {MAX_FILES} files of policies")
    for name in files:
        if not _NAME.fullmatch(name):
            raise BadBundleError(
                f"`{name}` can't be the name of a file of policies",
                remedy="use a-z, 0-9, `.`, `_` and `-`, and end it with .cedar",
            )
        if name == BASE_FILE:
            raise BadBundleError(
                f"`{BASE_FILE}` holds the rules that come with Taskbound", remedy="give it another name"
            )
    names = list(cases)
    if len(names) > MAX_FILES:
        raise BadBundleError(f"there are more than {MAX_FILES} files of cases")
    for name in names:
        if not _CASES.fullmatch(name):
            raise BadBundleError(
                f"`{name}` can't be the name of a file of cases", remedy="end it with .cases.yaml"
            )
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in files.values()) > MAX_BUNDLE:
        raise BadBundleError(f"the files have more than {MAX_BUNDLE} bytes")


def require_own(policies: Iterable[str], base: Iterable[str]) -> None:
    """Raises BadBundleError if another policy has a name of the base (rule 3)."""
    known = set(base)
    for name in policies:
        if name.casefold().startswith(_BASE) and name not in known:
            raise BadBundleError(
                f"policy `{name}` has a name of the rules that come with Taskbound",
                remedy=f"give it an @id that does not begin with `{_BASE}`",
            )


def whole(files: Mapping[str, str], base: str) -> dict[str, str]:
    return dict(sorted({**files, BASE_FILE: base}.items()))


def text_of(files: Mapping[str, str]) -> str:
    return "\n".join(files[name] for name in sorted(files))


def pack(bundle: PolicyBundle) -> bytes:
    """Returns the stored form (rule 2); raises BadBundleError by rule 4 or for text that JSON cannot hold."""
    try:
        archive = canonical({"cases": dict(bundle.cases), "files": dict(bundle.files), "version": 1})
    except MalformedError as error:
        raise BadBundleError(f"a file of policies is no text: {error.message}") from error
    if len(archive) > MAX_BUNDLE:
        raise BadBundleError(f"the bundle has more than {MAX_BUNDLE} bytes")
    return archive


def bundle_digest(archive: bytes) -> str:
    return sha256(archive).hexdigest()


def unpack(archive: bytes, digest: str) -> PolicyBundle:
    """Reads a stored bundle; raises DamagedBundleError if it does not match the digest."""
    if bundle_digest(archive) != digest:
        raise DamagedBundleError(f"policy bundle `{digest}` is kept damaged: its bytes are others")
    try:
        value = parse_document(archive, limits=_LIMITS)
    except MalformedError as error:
        raise DamagedBundleError(f"policy bundle `{digest}` can't be read: {error.message}") from error
    files = cases = None
    if isinstance(value, dict) and value.keys() == {"cases", "files", "version"} and value["version"] == 1:
        files, cases = _texts(value["files"]), _texts(value["cases"])
    if files is None or cases is None or BASE_FILE not in files:
        raise DamagedBundleError(f"policy bundle `{digest}` has a form that this version does not know")
    return PolicyBundle(files=files, cases=cases)


def _texts(value: JsonValue) -> Mapping[str, str] | None:
    if not isinstance(value, dict):
        return None
    texts = {name: text for name, text in value.items() if isinstance(text, str)}
    return MappingProxyType(texts) if len(texts) == len(value) else None


class AuthorActivatesError(DeniedError):
    """The author of a bundle cannot put it in force while another person could."""

    code = "author-activates"
    remedy = "ask another person to look at it with `taskbound policy diff`, and to activate it"


class UnknownBundleError(DeniedError):
    """No bundle with this digest is stored."""

    code = "unknown-bundle"
    remedy = "list them with `taskbound policy list`"


class MovedInForceError(DeniedError):
    """Another bundle was put in force in the meantime."""

    code = "moved-in-force"
    remedy = "look again at what would change, with `taskbound policy diff`, and activate it then"


class NotInForceBeforeError(DeniedError):
    """The bundle was never in force, so there is no going back to it."""

    code = "not-in-force-before"
    remedy = "see what was with `taskbound policy list`; what is new is put in force with `policy activate`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveBundle:
    """The bundle in force in a namespace."""

    epoch: int = 0
    """How often that was changed."""
    digest: str = ""
    """Of the bundle; empty for the rules that come with Taskbound, alone."""


def require_activator(author: str, activator: str, persons: Mapping[str, Person]) -> bool:
    """Returns whether the activator is the only person; raises AuthorActivatesError if another one could."""
    present = [name for name, one in persons.items() if one.state is PersonState.PRESENT]
    own = human_of(author, persons)
    if human_of(activator, persons) != own:
        return False
    if humans(present, persons) - {own}:
        raise AuthorActivatesError(f"`{author}` proposed this bundle and is not the only person here")
    return True


def require_unmoved(seen: ActiveBundle, now: ActiveBundle) -> None:
    if seen != now:
        raise MovedInForceError(f"bundle `{now.digest or 'base'}` was put in force meanwhile")


def require_earlier(now: ActiveBundle, past: Iterable[ActiveBundle], told: str | None) -> str:
    """Returns the digest to go back to; raises NotInForceBeforeError if there is none.

    `past` is newest first; `told` is the requested digest, empty for the base alone, None for the previous
    one.
    """
    earlier = [one.digest for one in past if one.epoch < now.epoch]
    if told is None:
        if not earlier:
            raise NotInForceBeforeError("nothing was in force before this")
        return earlier[0]
    if told not in earlier:
        raise NotInForceBeforeError(f"bundle `{told or 'base'}` was not in force before")
    return told
