"""Rules about error codes: one code a class, and every surface knows them all."""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from taskbound.core.errors import TaskboundError
from tests.house.tree import Finding

SURFACES = Path("src/taskbound/surfaces")


def codes_are_unique(classes: Iterable[type[TaskboundError]]) -> Iterator[Finding]:
    """No two classes share a code, each code is in kebab case, each class below a family says what to do."""
    owners: dict[str, list[type[TaskboundError]]] = defaultdict(list)
    for one in classes:
        owners[one.code].append(one)
    for code, several in sorted(owners.items()):
        first, *others = sorted(several, key=lambda one: len(one.__mro__))
        for other in others:
            yield _about(
                other, f"`{other.__name__}` has the code `{code}` of `{first.__name__}`: give it its own"
            )
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code):
            yield _about(first, f"write the code `{code}` in kebab case")


def _about(one: type[TaskboundError], sentence: str) -> Finding:
    path = "src/" + one.__module__.replace(".", "/")
    return Finding(rule="error-codes", path=path, name=one.__name__, sentence=sentence)


def surface_tables(root: Path) -> dict[str, Mapping[str, object] | None]:
    """Each surface's mapping of codes, or nothing where `errors.py` or `CODES` is missing."""
    tables: dict[str, Mapping[str, object] | None] = {}
    for folder in sorted((root / SURFACES).iterdir()) if (root / SURFACES).is_dir() else []:
        if not folder.is_dir() or folder.name.startswith(("_", ".")):
            continue
        table = None
        if (folder / "errors.py").exists():
            module = importlib.import_module(f"taskbound.surfaces.{folder.name}.errors")
            table = getattr(module, "CODES", None)
        tables[folder.name] = table
    return tables


def codes_are_mapped(
    codes: Iterable[str], tables: Mapping[str, Mapping[str, object] | None]
) -> Iterator[Finding]:
    """Every code stands in the table of every surface, and no table has a code that no class has."""
    known = set(codes)
    for surface, table in tables.items():
        path = (SURFACES / surface / "errors.py").as_posix()
        if not isinstance(table, Mapping):
            yield Finding(
                rule="surface-codes",
                path=path,
                sentence="give the surface a mapping `CODES` from every error code",
            )
            continue
        for code in sorted(known - set(table)):
            yield Finding(
                rule="surface-codes", path=path, name=code, sentence=f"map the code `{code}` in `CODES`"
            )
        for code in sorted(set(table) - known):
            yield Finding(
                rule="surface-codes",
                path=path,
                name=code,
                sentence=f"no error has the code `{code}`: delete it",
            )
