"""Formats that are read line by line, each by a rule of its own. No line is ever passed on.

1. `~/.pgpass`: `host:port:database:user:password`, with a backslash before a colon or a backslash that
   belongs to a field (PostgreSQL's documentation, "The Password File"). Of a line with fewer fields
   none is shown.
2. `~/.netrc`: words, one in double quotes up to its end; `machine` or `default`, then `login`, `password`,
   `account` with a word each; a `macdef` goes on to an empty line.
3. `~/.git-credentials`: a URL a line, with a password.
4. `~/.npmrc`: `key=value`; keys that end with `_authToken`, `_auth` or `_password`; `${NAME}` refers.
5. Environment files: `NAME=value`, with `export` before it or not; a text in single quotes refers to nothing.
6. Shell profiles: the same, and `set -x NAME value` of fish.
7. Comments of 4 to 6 are looked at for what shows by itself that it is a secret.
8. `~/.redisclirc`: `auth` and what follows.
9. `~/.terraformrc`: `token = "…"`, in the block `credentials "HOST"`.
10. A file that is a token and nothing else: its first line with anything on it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.credential.static import Hit, SecretKind, Worth
from taskbound.core.credential.worth import References, database_words, named_value, safe, what_of, worth_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.credential.static import Reader

__all__ = [
    "numbered",
    "read_environment",
    "read_git_credentials",
    "read_netrc",
    "read_npmrc",
    "read_pgpass",
    "read_redisclirc",
    "read_terraformrc",
    "read_tokens",
    "whole",
]

_FIELDS: Final = 5
_FIELD: Final = re.compile(r"((?:[^:\\]|\\.?)*)(:|$)")
_WORD: Final = re.compile(r'"(?:[^"\\]|\\.)*"?\S*|\S+')
_PORT: Final = re.compile(r"[0-9]{1,5}|\*")
_PARTED: Final = re.compile(r"(?<!\\):")
_ESCAPED: Final = re.compile(r"\\(.)")
_ASSIGNED: Final = re.compile(
    r"[ \t]*(?:(?:export|declare[ \t]+-x|typeset[ \t]+-x|readonly|local)[ \t]+)?"
    r"([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)",
    re.DOTALL,
)
_FISH: Final = re.compile(r"[ \t]*set[ \t]+(?:-[-\w]+[ \t]+)+([A-Za-z_][A-Za-z0-9_]*)[ \t]+(.*)", re.DOTALL)
_MORE: Final = re.compile(r"[ \t;&]+(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_DOUBLE: Final = re.compile(r'"((?:\$\([^()]*\)|[^"\\]|\\.)*)"?', re.DOTALL)
_BARE: Final = re.compile(r"(?:\$\([^()]*\)|\$\{[^{}]*\}|`[^`]*`|[^\s;&])*")
_NPM_KEYS: Final = ("_authtoken", "_auth", "_password")
_REDIS: Final = re.compile(r"[ \t]*:?auth[ \t]+(\S.*)", re.IGNORECASE)
_HOST: Final = re.compile(r'[ \t]*credentials(?:_helper)?[ \t]+"([^"]*)"')
_TOKEN: Final = re.compile(r'[ \t{]*token[ \t]*=[ \t]*"([^"]*)"')
_LINES: Final = 20_000
_LONG: Final = 16_384
"""Characters of a line that are looked at."""


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Its lines with their numbers, as many as are looked at."""
    for number, line in enumerate(text.split("\n"), start=1):
        if number > _LINES:
            return
        yield number, line[:_LONG].rstrip("\r")


def read_pgpass(text: str) -> Iterator[Hit]:
    """Rule 1."""
    for number, line in numbered(text):
        if line.startswith("#") or not line.strip():
            continue
        fields: list[str] = []
        at = 0
        while len(fields) < _FIELDS - 1 and (found := _FIELD.match(line, at)) and found[2]:
            fields.append(_ESCAPED.sub(r"\1", found[1]))
            at = found.end()
        password = line[at:]
        worth = worth_of(password)
        if len(fields) < _FIELDS - 1:
            yield Hit(line=number, what="line that is none of such a file", kind=SecretKind.POSTGRES)
        elif worth is not None:
            what = "PostgreSQL password"
            if _PORT.fullmatch(fields[1]) and "\\" not in line[:at] and not _PARTED.search(password):
                what += f" for {database_words(*fields)}"  # else it is not known where the password begins
            yield Hit(line=number, what=what, kind=SecretKind.POSTGRES, worth=worth)


def read_netrc(text: str) -> Iterator[Hit]:
    """Rule 2."""
    machine, wanted, macro = "", "", False
    for number, line in numbered(text):
        if macro:
            macro = bool(line.strip())
            continue
        for word in _WORD.findall(line):
            if wanted == "machine":
                machine, wanted = word, ""
            elif wanted == "password":
                wanted = ""
                worth = worth_of(word)
                if worth is not None:
                    where = f"password for {safe(machine) if machine else 'any other host'}"
                    yield Hit(line=number, what=where, kind=SecretKind.OTHER, worth=worth)
            elif wanted:
                wanted = ""
            elif word.startswith("#"):
                break
            elif word == "macdef":
                macro = True
                break
            elif word == "default":
                machine = ""
            else:
                wanted = word if word in {"machine", "password", "login", "account"} else ""


def read_git_credentials(text: str) -> Iterator[Hit]:
    """Rule 3."""
    for number, line in numbered(text):
        told = what_of(line.strip())
        if told is not None:
            yield Hit(line=number, what=told[0], kind=SecretKind.FORGE, worth=_worth_in_url(line))


def _worth_in_url(line: str) -> Worth:
    found = re.search(r"://[^:/@\s]*:([^@/\s]*)@", line)
    return (worth_of(found[1]) if found else None) or Worth.SECRET


def read_npmrc(text: str) -> Iterator[Hit]:
    """Rule 4."""
    for number, line in numbered(text):
        if line.lstrip().startswith(("#", ";")):
            yield from _comment(number, line)
            continue
        name, _, value = line.partition("=")
        if not name.strip().lower().endswith(_NPM_KEYS):
            continue
        worth = worth_of(value.strip().strip("\"'"), References.BRACED)
        if worth is not None:
            where = name.strip().rpartition(":")[0].strip("/")
            what = f"npm token{f' for {safe(where)}' if where else ''}"
            yield Hit(line=number, what=what, kind=SecretKind.REGISTRY, worth=worth)


def read_environment(text: str) -> Iterator[Hit]:
    """Rules 5 to 7."""
    for number, line in numbered(text):
        if line.lstrip().startswith("#"):
            yield from _comment(number, line)
            continue
        found = _ASSIGNED.match(line) or _FISH.match(line)
        while found is not None:
            value, references, rest = _value(found[2])
            told = named_value(found[1], value, references)
            if told is not None:
                what, kind, worth = told
                if "@" in rest:  # a shell ends a URL where its password may go on
                    what = what.partition(" for ")[0]
                yield Hit(line=number, member=safe(found[1]), what=what, kind=kind, worth=worth)
            found = _MORE.match(rest)


def _value(text: str) -> tuple[str, References, str]:
    """The value that a shell would read here, how it refers to others, and what stands behind it."""
    if text.startswith("'"):
        value, _, rest = text[1:].partition("'")
        return value, References.NONE, rest
    if text.startswith('"'):
        found = _DOUBLE.match(text)
        return (found[1] if found else ""), References.SHELL, text[found.end() :] if found else ""
    found = _BARE.match(text)
    end = found.end() if found else 0
    return text[:end], References.SHELL, text[end:]


def _comment(number: int, line: str) -> Iterator[Hit]:
    told = what_of(line)
    if told is not None:
        yield Hit(line=number, what=f"{told[0]} in a comment", kind=told[1])


def read_redisclirc(text: str) -> Iterator[Hit]:
    """Rule 8."""
    for number, line in numbered(text):
        found = _REDIS.fullmatch(line)
        worth = worth_of(found[1].split()[-1]) if found else None
        if worth is not None:
            yield Hit(line=number, what="Redis password", kind=SecretKind.REDIS, worth=worth)


def read_terraformrc(text: str) -> Iterator[Hit]:
    """Rule 9."""
    host = ""
    for number, line in numbered(text):
        begun = _HOST.match(line)
        if begun:
            host = begun[1]
        found = _TOKEN.match(line[begun.end() :] if begun else line)
        worth = worth_of(found[1]) if found else None
        if worth is not None:
            what = f"Terraform token{f' for {safe(host)}' if host else ''}"
            yield Hit(line=number, what=what, kind=SecretKind.CLOUD, worth=worth)


def read_tokens(text: str) -> Iterator[Hit]:
    """Lines that show by themselves that they are secrets."""
    for number, line in numbered(text):
        told = what_of(line)
        if told is not None:
            yield Hit(line=number, what=told[0], kind=told[1])


def whole(what: str, kind: SecretKind) -> Reader:
    """Rule 10."""

    def read(text: str) -> Iterator[Hit]:
        for number, line in numbered(text):
            if line.strip():
                worth = worth_of(line)
                if worth is not None:
                    yield Hit(line=number, what=what, kind=kind, worth=worth)
                return

    return read
