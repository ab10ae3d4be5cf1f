"""Rules about exceptions: every place where a tool is told to look away says why."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import Finding, files, relative

_MARK = re.compile(
    r"(?:(?:ruff|flake8):\s*)?noqa(?::\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?"
    r"|type:\s*ignore(?:\[[^\]]*\])?"
    r"|pragma:\s*no\s*(?:cover|branch)"
    r"|fmt:\s*(?:off|skip)"
    r"|mypy:\s*[a-z-]+"
    r"|nosec\b"
)
_FEWEST_WORDS = 2
_LIST_OF_EXCEPTIONS = re.compile(r"^\"?([^\"=]*)\"?\s*=\s*\[")
_SETTINGS = ("pyproject.toml", "src/taskbound/core/ruff.toml")


def suppressions_have_reasons(root: Path) -> Iterator[Finding]:
    """A comment that silences a tool says why in the same comment."""
    for path in files(root, ".py"):
        if _MARK.search(path.read_text(encoding="utf-8")) is None:
            continue
        with path.open("rb") as stream:
            for token in tokenize.tokenize(stream.readline):
                if token.type != tokenize.COMMENT:
                    continue
                body = token.string.lstrip("# ")
                if (
                    _MARK.match(body) is None
                    and "# type: ignore" not in token.string
                    and "noqa" not in token.string
                ):
                    continue
                rest = _MARK.sub(" ", body)
                if len(re.findall(r"[A-Za-z`'\-]{2,}", rest)) < _FEWEST_WORDS:
                    yield Finding(
                        rule="suppressions-have-reasons",
                        path=relative(path, root),
                        line=token.start[0],
                        sentence=f"say why after `{token.string.strip()}`, in the same comment",
                    )


def settings_have_reasons(root: Path) -> Iterator[Finding]:
    """Every ignored rule, warning or import in the settings has a comment on its line or above it."""
    for name in _SETTINGS:
        path = root / name
        if not path.exists():
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        table = key = ""
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if text.startswith("["):
                table, key = text, ""
                if text == "[[tool.mypy.overrides]]" and not _commented(lines, number):
                    yield _unexplained(name, number, text)
            elif (start := _LIST_OF_EXCEPTIONS.match(text)) is not None:
                key = start[1].strip()
                text = text[start.end() :].strip()
            looks_away = (
                "ignore" in key or "per-file-ignores" in table or text.startswith(('"ignore:', '"ignore"'))
            )
            if looks_away and text.startswith('"') and not _commented(lines, number):
                yield _unexplained(name, number, text)
            if text.endswith("]"):
                key = ""


def _commented(lines: list[str], number: int) -> bool:
    above = lines[number - 2].strip() if number > 1 else ""
    return "#" in lines[number - 1] or above.startswith("#")


def _unexplained(name: str, number: int, text: str) -> Finding:
    return Finding(
        rule="settings-have-reasons",
        path=name,
        line=number,
        sentence=f"say why in a comment beside or above `{text}`",
    )
