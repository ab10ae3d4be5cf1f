"""Rules about what people are told to install: extras that there are, from where they are.

1. Where an extra is named, as `taskbound[NAME]`, `.[NAME]` or "the extra `NAME`", pyproject.toml has it.
2. No release is on a package index, so nobody is told to install the package by its name: an index might have
   another one. Say `pip install '.[NAME]'`, from a checkout. With the first release this rule goes.
3. A package of ours that is named with its versions has those that pyproject.toml asks for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import Finding, files, relative

RECORDS = "docs/adr"
"""What was decided stands there as it was; only its extras are looked at."""
_EXTRAS = re.compile(r"(?<![\w.)\]/\\])(?:taskbound|\.)\[([a-z][a-z0-9, -]*)\](?![\w(])")
_WORDS = re.compile(r"\bextras? `([a-z0-9-]+)`")
_INSTALL = re.compile(r"pip install ([^`\n#&|;]+)")
_WORD = re.compile(r"""'([^']*)'|"([^"]*)"|(\S+)""")


def pages(root: Path) -> Iterator[Path]:
    """What people read, and the code whose errors they read."""
    yield from files(root, ".md", ".py", ".yaml", ".sh", ".toml", under=("docs", "deploy", "src", "changes"))
    yield from sorted(root.glob("*.md"))


def installs_what_there_is(root: Path) -> Iterator[Finding]:
    """Whoever is told to install something is told what there is (rules 1 to 3)."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project.get("optional-dependencies", {})
    asked = [*project.get("dependencies", []), *(one for some in extras.values() for one in some)]
    ours = {str(canonicalize_name(need.name)): need for need in map(Requirement, asked)}
    for path in pages(root):
        name = relative(path, root)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for sentence in (
                *_unknown(line, extras.keys()),
                *(() if name.startswith(f"{RECORDS}/") else _by_name(line)),
                *_other_versions(line, ours),
            ):
                yield Finding(rule="installs-what-there-is", path=name, line=number, sentence=sentence)


def _unknown(line: str, extras: set[str]) -> Iterator[str]:
    named = [one.strip() for some in _EXTRAS.findall(line) for one in some.split(",")]
    for one in [*named, *_WORDS.findall(line)]:
        if one not in extras:
            yield f"there is no extra `{one}`: name one of {', '.join(sorted(extras))}"  # 1


def _by_name(line: str) -> Iterator[str]:
    for word in _wanted(line):
        if word.partition("[")[0] == "taskbound":
            yield f"no index has `{word}`: from a checkout it is `pip install '.{word[9:]}'`"  # 2


def _other_versions(line: str, ours: dict[str, Requirement]) -> Iterator[str]:
    for word in _wanted(line):
        try:
            said = Requirement(word)
        except InvalidRequirement:  # an option, a folder, or a placeholder
            continue
        need = ours.get(canonicalize_name(said.name))
        pinned = [one.version for one in said.specifier if one.operator == "=="]
        fits = need is None or not said.specifier or all(need.specifier.contains(one) for one in pinned)
        if not fits or (need is not None and said.specifier and not pinned and said != need):
            yield f"pyproject.toml asks for `{need}`, and this says `{word}`"  # 3


def _wanted(line: str) -> Iterator[str]:
    for words in _INSTALL.findall(line):
        for found in _WORD.finditer(words):
            yield next(one for one in found.groups() if one is not None)
