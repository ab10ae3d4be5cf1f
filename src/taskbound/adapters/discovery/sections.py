"""Formats of sections and keys (`[section]`, `key = value`), each by which of its keys are secrets.

1. A section begins with its name in brackets. A line is `key = value` or `key: value`; comments begin with
   `#` or `;`. Nothing is filled in, and no other file is read that one includes.
2. `~/.pg_service.conf`: `password`, with the section's `host`, `port`, `dbname` and `user`, wherever in the
   section they stand (PostgreSQL's documentation, "The Connection Service File").
3. `~/.my.cnf`: `password`, of any section; in quotes or not.
4. `~/.aws/credentials` and `config`: `aws_secret_access_key` and `aws_session_token`.
5. `~/.pypirc`: `password`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from taskbound.adapters.discovery.lines import numbered
from taskbound.core.credential.static import Hit, SecretKind
from taskbound.core.credential.worth import NOT_SHOWN, database_words, safe, worth_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.core.credential.static import Reader

__all__ = ["read_aws", "read_my_cnf", "read_pg_service", "read_pypirc"]

_SECTION: Final = re.compile(r"[ \t]*\[([^\]]*)\]")
_NAME: Final = re.compile(r"[\w .@+/-]*")
_KEY: Final = re.compile(r"[ \t]*([A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*(.*)")


class _Value(NamedTuple):
    line: int
    value: str


def _sections(text: str) -> Iterator[tuple[str, Mapping[str, _Value]]]:
    """Each section's name and keys; the last of a key counts (rule 1)."""
    name, keys = "", dict[str, _Value]()
    for number, line in numbered(text):
        if line.lstrip().startswith(("#", ";")):
            continue
        begun = _SECTION.match(line)
        if begun:
            yield name, keys
            name, keys = _named(begun[1].strip()), {}
            continue
        found = _KEY.match(line)
        if found:
            value = found[2].strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            keys[found[1].lower()] = _Value(number, value[1:-1] if quoted else value)
    yield name, keys


def _named(section: str) -> str:
    """A section's name as it is shown; what is written otherwise may be no name."""
    return safe(section) if _NAME.fullmatch(section) else NOT_SHOWN


def _of(
    kind: SecretKind, words: Mapping[str, str], about: Callable[[str, Mapping[str, _Value]], str]
) -> Reader:
    """A reader of a format whose secret keys are these, each with what it is."""

    def read(text: str) -> Iterator[Hit]:
        for name, keys in _sections(text):
            for key, what in words.items():
                found = keys.get(key)
                worth = worth_of(found.value) if found else None
                if found and worth is not None:
                    where = about(name, keys)
                    yield Hit(
                        line=found.line,
                        member=f"[{name}] {key}",
                        what=f"{what} for {where}" if where else what,
                        kind=kind,
                        worth=worth,
                    )

    return read


def _database(name: str, keys: Mapping[str, _Value]) -> str:
    host, port, base, user = (
        keys[key].value if key in keys else "" for key in ("host", "port", "dbname", "user")
    )
    del name
    return database_words(host, port, base, user)


def _server(name: str, keys: Mapping[str, _Value]) -> str:
    host, port, user = (keys[key].value if key in keys else "" for key in ("host", "port", "user"))
    del name
    return database_words(host, port, "", user)


def _profile(name: str, keys: Mapping[str, _Value]) -> str:
    del keys
    return name


read_pg_service: Final[Reader] = _of(SecretKind.POSTGRES, {"password": "PostgreSQL password"}, _database)
read_my_cnf: Final[Reader] = _of(SecretKind.MYSQL, {"password": "MySQL password"}, _server)
read_aws: Final[Reader] = _of(
    SecretKind.CLOUD,
    {"aws_secret_access_key": "AWS secret key", "aws_session_token": "AWS session token"},
    _profile,
)
read_pypirc: Final[Reader] = _of(SecretKind.REGISTRY, {"password": "PyPI password"}, _profile)
