"""Finds project directories whose files a client would read; the search follows no links and is bounded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.cli.clients.entries import PROJECT_FILES, is_there
from taskbound.surfaces.cli.clients.files import BadConfigError, read_text
from taskbound.surfaces.cli.clients.jsonc import parse_jsonc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.action.canonical import JsonValue


_DEEPEST: Final = 4
_MOST: Final = 4_000
_PASSED: Final = frozenset({".git", ".hg", ".venv", "__pycache__", "node_modules", "site-packages"})


def granted_directories(scope: JsonValue) -> set[str]:
    found: set[str] = set()
    todo: list[JsonValue] = [scope]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            below = one.get("below")
            found |= (
                {below} if isinstance(below, str) and below.startswith("/") and "\0" not in below else set()
            )
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return found


def known_projects(home: Path) -> tuple[Path, ...]:
    try:
        node = parse_jsonc(read_text(home / ".claude.json")).root.find("projects")
    except BadConfigError:
        return ()
    keys = [one.key for one in node.members] if node else []
    return tuple(Path(one) for one in keys if one.startswith("/") and "\0" not in one)


def projects_below(roots: Iterable[str]) -> tuple[tuple[Path, ...], bool]:
    """Return directories with a project file, and whether the search was complete."""
    found: list[Path] = []
    left = _MOST
    whole = True
    for root in sorted(roots):
        for name, folders, files in os.walk(root):
            here = Path(name)
            if left == 0:
                whole = False
                break
            left -= 1
            if any(is_there(here / one) for one in PROJECT_FILES if one.split("/")[0] in {*files, *folders}):
                found.append(here)
            inner = sorted(set(folders) - _PASSED)
            if len(here.parts) - len(Path(root).parts) >= _DEEPEST:
                whole, inner = whole and not inner, []
            folders[:] = inner
    return tuple(dict.fromkeys(found)), whole
