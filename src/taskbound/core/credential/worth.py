"""What a value in a file is worth: a secret, something to be filled in, or none.

1. Words of a file that are shown go through `safe` (a name of a variable, a host, a member). Of a place, what
   no host, port, database or user is written like may be more than that, and is not shown.
2. A value is judged by the name that somebody gave it and by the beginnings that issuers publish
   (`core.tool.secret`). How random a text looks is no measure: digests, ids and paths look so too.
3. What only refers to a secret is none: a variable that is filled in where it is read. A default that stands
   in the reference is a value like any other. In which way a format refers, its reader says.
4. What somebody left to be filled in (`changeme`, `<token>`) is marked, and still shown: it may be in use.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from taskbound.core.action.escape import escape_text
from taskbound.core.credential.secret import find_secrets
from taskbound.core.credential.static import SecretKind, Worth
from taskbound.core.tool.secret import may_name_secret, names_secret

__all__ = [
    "LONGEST",
    "NOT_SHOWN",
    "References",
    "database_words",
    "kind_named",
    "named_value",
    "safe",
    "what_of",
    "without_references",
    "worth_of",
]

LONGEST: Final = 2_048
"""Characters of a value that are looked at."""
NOT_SHOWN: Final = "(not shown)"
_SHOWN: Final = 80


class References(Enum):
    """How values of a format refer to what stands elsewhere (rule 3)."""

    NONE = "none"
    BRACED = "braced"
    """`${NAME}`"""
    SHELL = "shell"
    """Also `$NAME`, `$(command)` and backquotes."""


_BRACED: Final = re.compile(
    r"\$\{(?:[A-Za-z]+:)?[A-Za-z_][A-Za-z0-9_.-]{0,200}(?:(?::?[-=])(?P<default>[^{}]*)|:?[?+][^{}]*)?\}"
)
_SHELL: Final = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*|\$\([^()]*\)|`[^`]*`")
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|bot)[ ]+", re.IGNORECASE)
_SCHEMES_ALONE: Final = frozenset({"bearer", "basic", "token", "bot", ":"})
"""What is left of a header whose rest refers to something."""
_SWITCHES: Final = frozenset(
    {"", "0", "1", "false", "no", "none", "null", "off", "on", "true", "undefined", "yes"}
)
_PLACEHOLDER: Final = re.compile(
    r"<[^<>]*>|\[[^\[\]]*\]|\{\{?[^{}]*\}?\}|x{3,}|\*{3,}|\.{3,}|…|[-_]{3,}"
    r"|(?:your|enter|insert|replace|put|add)[-_ ].*|(?:password|passwd|secret|token|api[-_ ]?key)"
    r"|.*(?:change[-_ ]?(?:me|this|it)|replace[-_ ]?(?:me|this|with)|place-?holder|example|dummy|to-?do"
    r"|your[-_](?:api|token|key|secret|password)|x{6,}).*",
    re.IGNORECASE | re.DOTALL,
)
_TOKENS: Final[tuple[tuple[str, re.Pattern[str], SecretKind], ...]] = tuple(
    (name, re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})", re.ASCII), kind)
    for name, pattern, kind in (
        ("private key", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----", SecretKind.OTHER),
        ("age key", r"AGE-SECRET-KEY-1[0-9A-Z]{8,}", SecretKind.OTHER),
        ("GitHub token", r"gh[pousr]_\w{16,}|github_pat_\w{16,}", SecretKind.FORGE),
        ("GitLab token", r"glpat-[\w-]{16,}", SecretKind.FORGE),
        ("Slack token", r"xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}", SecretKind.OTHER),
        ("Anthropic key", r"sk-ant-[\w-]{12,}", SecretKind.OTHER),
        ("OpenAI key, or one that begins alike", r"sk-[\w-]{16,}", SecretKind.OTHER),
        ("Stripe key", r"[sr]k_(?:live|test)_\w{10,}", SecretKind.OTHER),
        ("AWS access key", r"(?:AKIA|ASIA)[A-Z0-9]{16}", SecretKind.CLOUD),
        ("Google key", r"AIza[\w-]{30,}|ya29\.[\w.-]{10,}", SecretKind.CLOUD),
        ("npm token", r"npm_\w{20,}", SecretKind.REGISTRY),
        ("PyPI token", r"pypi-[\w-]{16,}", SecretKind.REGISTRY),
        ("Hugging Face token", r"hf_\w{16,}", SecretKind.OTHER),
        ("Vault token", r"hv[bs]\.[\w-]{20,}", SecretKind.VAULT),
        ("signed token", r"eyJ[\w-]{8,1000}\.eyJ[\w-]{8,}\.", SecretKind.OTHER),
    )
)
"""Beginnings that issuers publish, at the beginning of a word: those of `core.tool.secret`, with names."""
_HEADER: Final = re.compile(r"(?<![A-Za-z0-9])(?:bearer|basic)[ ]+\S{8,}", re.IGNORECASE)
_URL: Final = re.compile(
    r"(?<![a-zA-Z0-9+.-])(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,40})://(?P<net>[^\s\"'<>/?#]+)(?P<rest>[^\s\"'<>]*)"
)
_LOGIN: Final = re.compile(r":[^\s@]*@")
"""Where a password stands in a place without a scheme: `user:password@host`."""
_MORE: Final = re.compile(r"[\s=#;,\"'&]")
"""What separates a place from what else was written behind it."""
_HOST: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_SCHEMES: Final = (
    (("postgres", "postgresql"), "PostgreSQL password", SecretKind.POSTGRES),
    (("mysql", "mariadb"), "MySQL password", SecretKind.MYSQL),
    (("redis", "rediss", "valkey"), "Redis password", SecretKind.REDIS),
    (("ssh", "git"), "password", SecretKind.FORGE),
)
_DATABASES: Final = frozenset({SecretKind.POSTGRES, SecretKind.MYSQL})
_NAMES: Final = (
    (("PGPASS", "PG_", "POSTGRES"), "PostgreSQL password", SecretKind.POSTGRES),
    (("MYSQL", "MARIADB"), "MySQL password", SecretKind.MYSQL),
    (("REDIS", "VALKEY"), "Redis password", SecretKind.REDIS),
    (("VAULT_", "BAO_"), "Vault token", SecretKind.VAULT),
    (("AWS_", "AZURE_", "ARM_", "GOOGLE_", "GCP_", "GCLOUD_"), "cloud secret", SecretKind.CLOUD),
    (("GITHUB_", "GH_", "GITLAB_", "GITEA_"), "token of a host of repositories", SecretKind.FORGE),
    (("NPM_", "PYPI_", "TWINE_", "DOCKER_"), "token of a registry", SecretKind.REGISTRY),
)
_OUTSIDE: Final = frozenset({"AUTH", "PASS"})
"""Last words of names that say a secret's only here: `REDISCLI_AUTH`, `MYSQL_PASS`."""


def without_references(text: str, references: References, filler: str = "") -> str:
    """The text with this in place of what only refers to something else (rule 3)."""
    if references is References.NONE:
        return text
    text = _BRACED.sub(lambda found: found["default"] or filler, text)
    return _SHELL.sub(filler, text) if references is References.SHELL else text


def worth_of(value: str, references: References = References.NONE) -> Worth | None:
    """What a value is that stands where a secret does; None for nothing, and for a reference."""
    value = value[:LONGEST].strip()
    rest = without_references(value, references).strip()
    if rest.lower() in _SWITCHES or (rest != value and rest.lower() in _SCHEMES_ALONE):
        return None
    return Worth.PLACEHOLDER if _PLACEHOLDER.fullmatch(_SCHEME.sub("", rest)) else Worth.SECRET


def what_of(value: str) -> tuple[str, SecretKind] | None:
    """What a text shows that it is, or holds (rule 2); None when it shows nothing."""
    value = value[:LONGEST]
    if find_secrets(value):
        return "secret that was minted for a task", SecretKind.MINTED
    for name, pattern, kind in _TOKENS:
        if pattern.search(value):
            return name, kind
    for found in _URL.finditer(value):
        told = _url_of(found)
        if told is not None:
            return told
    return ("header that signs in", SecretKind.OTHER) if _HEADER.search(value) else None


def _url_of(found: re.Match[str]) -> tuple[str, SecretKind] | None:
    """What a URL with a password is; None for one without."""
    login, _, place = found["net"].rpartition("@")
    user, _, password = login.partition(":")
    if worth_of(password) is None:
        return None
    scheme = found["scheme"].partition("+")[0].lower()
    what, kind = next(
        ((what, kind) for schemes, what, kind in _SCHEMES if scheme in schemes),
        ("password", SecretKind.OTHER),
    )
    host = _HOST.fullmatch(place)
    if host is None or "@" in found["rest"] or "@" in found.string[found.end() :]:
        return what, kind  # where its password ends is not to be told, so nothing of it is shown
    if kind not in _DATABASES:  # a token may stand where the user does
        return f"{what} for {database_words(host['host'], host['port'] or '', '', '')}", kind
    database = re.split(r"[?#]", found["rest"], maxsplit=1)[0].strip("/")
    return f"{what} for {database_words(host['host'], host['port'] or '', database, user)}", kind


def database_words(host: str, port: str, database: str, user: str) -> str:
    """Where a login leads, in words whose every part may be shown (rule 1): `host:port/database user`."""
    where = _part(host) if host else "this machine"
    where += f":{_part(port)}" if port else ""
    where += f"/{_part(database)}" if database else ""
    return f"{where} {_part(user)}" if user else where


def _part(text: str) -> str:
    return NOT_SHOWN if _MORE.search(text) else safe(text)


def kind_named(name: str) -> tuple[str, SecretKind]:
    """What a variable of this name holds, by the system that its name begins with."""
    for beginnings, what, kind in _NAMES:
        if name.upper().startswith(beginnings):
            return what, kind
    return "secret, by its name", SecretKind.OTHER


def named_value(
    name: str, value: str, references: References, *, hint: bool = False
) -> tuple[str, SecretKind, Worth] | None:
    """What the value of a variable, a member or a header is; None where it is no secret.

    Args:
        name: What somebody called it.
        value: The value.
        references: How such values refer to what stands elsewhere.
        hint: Whether a name that may be that of a secret is enough, as of headers.
    """
    rest = without_references(value[:LONGEST], references)
    known = what_of(rest)
    says = names_secret(name) or (hint and may_name_secret(name)) or name.upper().split("_")[-1] in _OUTSIDE
    if known is None and (not says or _only_leads(name, rest)):
        return None
    worth = worth_of(value, references)
    if worth is None:
        return None
    what, kind = known or kind_named(name)
    return what, kind, worth


def _only_leads(name: str, value: str) -> bool:
    """Whether a value is a file's name or a count, whatever its name ends with."""
    last = name.lower().replace("-", "_").split("_")[-1]
    if last.startswith("credential"):
        return value.startswith(("/", "~/", "./", "../")) and " " not in value
    return last.endswith("tokens") and value.strip().isdigit()


def safe(text: str) -> str:
    """Words of a file that are shown: escaped, short, and not where they are a secret themselves (rule 1)."""
    if what_of(text) or _LOGIN.search(text):
        return NOT_SHOWN
    return escape_text(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")
