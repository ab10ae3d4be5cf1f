"""Parting what of a server is pinned from its secrets, which go into slots (`core.tool.slot`).

1. A variable that says by its name or its text that it is a secret goes into a slot, unless it can't be one
   (too short, or it decides what runs): then it is declared, stored and named, as any other.
2. A header or a parameter that may be one goes into a slot, or the server stays where it is: what of these is
   pinned is shown.
3. A parameter is moved only where every reader takes the query for the same: it stands once, without a `+`.
4. A secret elsewhere in a URL (path, who signs in, fragment) has no slot: the server stays where it is.
5. No value is in a repr or an error.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from taskbound.core.action.escape import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import Slot, require_secret
from taskbound.core.tool.secret import is_secret_text, may_name_secret, names_secret
from taskbound.surfaces.cli.clients.masking import has_secret

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnplaceableError(Exception):
    """A secret has no slot that it could go into; in words, without the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """What of a server is pinned, and what goes into its slots."""

    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[Slot, str], ...] = field(default=(), repr=False)


def part_started(environment: Mapping[str, str]) -> Parted:
    """The variables of a server that is started (rule 1)."""
    declared: dict[str, str] = {}
    secrets: dict[Slot, str] = {}
    for name, value in environment.items():
        slot = _slot("environment", name, value) if names_secret(name) or is_secret_text(value) else None
        if slot is None:
            declared[name] = value
        else:
            secrets[slot] = value
    return Parted(environment=tuple(sorted(declared.items())), secrets=tuple(sorted(secrets.items())))


def part_remote(url: str, headers: Mapping[str, str]) -> Parted:
    """The URL and the headers of a server that is reached (rules 2 to 4).

    Raises:
        UnplaceableError: A secret among them can go into no slot.
    """
    declared: dict[str, str] = {}
    secrets: dict[Slot, str] = {}
    for name, value in headers.items():
        if not may_name_secret(name) and not is_secret_text(value):
            declared[name] = value
            continue
        secrets[_placed("header", name, value)] = value
    plain, mark, query = url.partition("?")
    kept = []
    for text in query.split("&") if mark else ():
        name, _, raw = text.partition("=")
        value = unquote(raw)
        if not may_name_secret(unquote(name)) and not is_secret_text(value):
            kept.append(text)
            continue
        slot = _placed("query", name, value)
        if slot in secrets or "+" in raw or "\ufffd" in value:
            raise UnplaceableError(
                f"its URL holds a secret, `{escape_text(name)}`, that is not read in one way"
            )
        secrets[slot] = value
    rest = f"{plain}?{'&'.join(kept)}" if kept else plain
    if has_secret((rest,)) or has_secret((unquote(rest),)):
        raise UnplaceableError("its URL holds a secret outside of its query")  # 4
    return Parted(
        url=rest,
        headers=tuple(sorted(declared.items())),
        secrets=tuple(sorted(secrets.items())),
    )


def _placed(kind: str, name: str, value: str) -> Slot:
    slot = _slot(kind, name, value)
    if slot is None:
        what = "header" if kind == "header" else "URL's parameter"
        raise UnplaceableError(
            f"its {what} `{escape_text(name)}` may be a secret, and is none that can be sealed: too short, or"
            " no plain text"
        )
    return slot


def _slot(kind: str, name: str, value: str) -> Slot | None:
    """The slot that a value can go into, if there is one."""
    try:
        slot = Slot(kind=kind, name=name)
        require_secret(slot, value)
    except MalformedError:
        return None
    return slot
