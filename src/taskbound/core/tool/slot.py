"""Slots: the places of an upstream server that secrets fill, their sources, and leaked secrets.

`slot`: Written `KIND:NAME`: `environment:NAME` for a started server; `header:NAME`, `query:NAME` for a
URL; `argument:TOOL/NAME` for a top-level argument; `oauth:client-secret`, `oauth:private-key` for a
client; `admin:access` and `kept:CREDENTIAL` for targets. `=SOURCE` may follow. One text form; headers in
lower case. A slot must not decide what runs or who is contacted: variables of loaders, shells,
interpreters, tool configuration, proxies or CA lists are refused. Tokens of such tools (`GIT_TOKEN`) are
allowed. A value has `MIN_SECRET` to `MAX_SECRET` bytes of UTF-8, because shorter ones cannot be detected
in answers. No zero byte; in headers and for OAuth printable ASCII. A value is sealed for namespace,
server, identity, slot and number (`wire.secret`); numbers increase by one.

`source`: Written `credential:TARGET/KIND?PARAMETERS#NAME`, which pins the parameters, among them
`seconds`. In a header a scheme may precede it: `Bearer credential:…`. One text form: parameters sorted and
distinct, values percent-encoded. Slots of a server whose sources differ only in NAME share one credential.
The target checks kind and names when the credential is requested. Listing a server's tools belongs to no
task, so its slots then hold a text that opens nothing.

`argument`: The argument is a top-level property of the pinned schema and may be a text; otherwise pinning
is refused. Agents are offered the schema without it. A call that contains it is refused. The decided
arguments are sent with the values added, in canonical bytes.

`secret`: `may_name_secret` tests any word of a name, and keeps headers and parameters out of pins.
`names_secret` tests the last word (`GITHUB_TOKEN`, `PGPASSWORD`); a key only with a preceding word that
says what it opens (`API_KEY`, not `sort-key`). A text is a secret by an issuer's token prefix at the start
of a word, as a private key, signed token (RFC 7519), `Bearer` or `Basic` value, or URL password.
Random-looking texts are not detected, because digests and ids look the same. The prefixes are those
documented for secret scanning (GitHub, GitLab, Slack, Stripe, OpenAI, Anthropic, AWS, Google, npm, PyPI,
Hugging Face).

`leak`: Searched forms: verbatim, JSON escapes undone (also nested), percent-encoded once, Base64 in three
alignments and both alphabets, hex in either case; white space is ignored in the last two. Other
transformations (encodings, splitting, reordering) are not detected; a server that was given a secret can
leak it. The time is linear in the text. Escapes are therefore undone everywhere, without locating JSON
strings. Texts that were truncated here are also searched for partial values at the cut (`cut_in`).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.errors import BadSecretError, BadSlotError, SlotTakenError
from taskbound.core.tool.name import (
    CREDENTIAL,
    METHOD_NAMES,
    decoded,
    encoded,
    is_reserved,
    join_tool_name,
    parse_own_name,
    parse_server_name,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.definition import ToolDefinition


SOURCE: Final = "credential:"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")
_SECONDS: Final = "seconds"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,5}")
_RENEWS: Final = "renews"
_MAX_VALUE: Final = 256
_MAX_PARAMETERS: Final = 16
_HOW: Final = "write `SLOT=credential:TARGET/KIND#NAME`, and `?parameter=value` behind a kind that has some"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Source:
    """The source of one slot's value; making a bad one raises BadSlotError."""

    target: str
    kind: str
    name: str
    """What of the credential goes into the slot: the variable that programs of the target read."""
    parameters: tuple[tuple[str, str], ...] = ()
    """What is left to who asks, and `seconds`; sorted by name."""
    scheme: str = ""
    """What stands before the value in a header, with a space between; empty for nothing."""

    def __post_init__(self) -> None:
        parse_server_name(self.target)
        if not is_reserved(CREDENTIAL + self.kind) or _NAME.fullmatch(self.name) is None:
            raise BadSlotError(f"`{shown(self.text)}` names nothing of a credential", remedy=_HOW)
        join_tool_name(self.target, CREDENTIAL + self.kind)
        if self.scheme and _SCHEME.fullmatch(self.scheme) is None:
            raise BadSlotError(f"`{shown(self.scheme)}` is no scheme of a header")
        names = [name for name, _ in self.parameters]
        if names != sorted(set(names)) or len(names) > _MAX_PARAMETERS:
            raise BadSlotError(
                f"the parameters of `{shown(self.text)}` are too many, or not sorted and distinct"
            )
        for name, value in self.parameters:
            if _PARAMETER.fullmatch(name) is None or name == _RENEWS or not 1 <= len(value) <= _MAX_VALUE:
                raise BadSlotError(
                    f"`{shown(name)}` is no parameter that can be pinned with a slot", remedy=_HOW
                )
            if name == _SECONDS and _NUMBER.fullmatch(value) is None:
                raise BadSlotError(f"`{_SECONDS}` is a whole number of seconds")

    @property
    def tool(self) -> str:
        return join_tool_name(self.target, CREDENTIAL + self.kind)

    @property
    def seconds(self) -> int:
        """The requested lifetime; 0 for the kind's maximum."""
        return int(dict(self.parameters).get(_SECONDS, "0"))

    @property
    def given(self) -> dict[str, str]:
        """The parameters without `seconds`."""
        return {name: value for name, value in self.parameters if name != _SECONDS}

    @property
    def credential(self) -> str:
        """The key of the credential, equal for all slots that share it."""
        asked = "&".join(f"{name}={encoded(value)}" for name, value in self.parameters)
        return f"{SOURCE}{self.target}/{self.kind}{'?' if asked else ''}{asked}"

    @property
    def text(self) -> str:
        return f"{self.scheme}{' ' if self.scheme else ''}{self.credential}#{self.name}"

    @property
    def stand_in(self) -> str:
        """The value while a person inspects the server."""
        return self.value("taskbound-looks")

    def value(self, found: str) -> str:
        return f"{self.scheme} {found}" if self.scheme else found


def parse_source(text: str) -> Source:
    scheme, mark, rest = text.rpartition(SOURCE)
    whole, _, name = rest.partition("#")
    place, _, asked = whole.partition("?")
    target, slash, kind = place.partition("/")
    if not mark or not slash or (scheme and scheme[-1] != " "):
        raise BadSlotError(f"`{shown(text)}` is no source of a slot", remedy=_HOW)
    pairs = [one.partition("=") for one in asked.split("&")] if asked else []
    parameters = tuple((one, decoded(value)) for one, _, value in _strict(pairs, text))
    found = Source(target=target, kind=kind, name=name, parameters=parameters, scheme=scheme[:-1])
    if found.text != text:
        raise BadSlotError(f"there is one way to write this source: `{shown(found.text)}`")
    return found


def _strict(pairs: list[tuple[str, str, str]], text: str) -> list[tuple[str, str, str]]:
    try:
        for _, mark, value in pairs:
            if not mark:
                break
            decoded(value)
        else:
            return pairs
    except ValueError:
        pass
    raise BadSlotError(f"`{shown(text)}` has a parameter that can't be read", remedy=_HOW)


MIN_SECRET: Final = 8
MAX_SECRET: Final = 8_192
MAX_SLOTS: Final = 32

_NAMES: Final = {
    "environment": re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}"),
    "header": re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?"),
    "query": re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}"),
    "argument": re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}"),
    "oauth": re.compile(r"client-secret|private-key"),
    "admin": re.compile(r"access"),
    "kept": re.compile(r"crd_[a-z2-7]{35}"),
}
_LINES: Final = frozenset({"header", "oauth"})
_MINTED: Final = frozenset({"argument", "environment", "header", "query"})
"""Kinds of slots that a credential can fill: what a client proves itself with is a secret of its own."""
_HEADER: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_CODE: Final = frozenset(
    {
        "BASH_ENV", "CLASSPATH", "ENV", "GCONV_PATH", "HOME", "IFS", "PATH",
        "PERL5DB", "PERL5LIB", "PERL5OPT", "RUBYLIB", "RUBYOPT", "SHELL", "SSH_ASKPASS", "SSH_AUTH_SOCK",
        "SSH_PKCS11_HELPER", "SSH_SK_HELPER", "SSH_SK_PROVIDER", "TMPDIR", "ZDOTDIR",
    }
)  # fmt: skip  # a list of words reads better as words
_CODE_PREFIXES: Final = ("DYLD_", "_JAVA_", "JAVA_", "JDK_", "LD_", "NODE_", "PYTHON", "UV_")
_TOOLS: Final = ("BUN_", "DOTNET_", "GIT_", "NPM_", "PIP_", "SSL_")
"""What these tools read, in either case, is mostly configuration."""
_CONFIGURED: Final = ("GIT_CONFIG_", "NPM_CONFIG_", "SSL_")
_TOKENS: Final = ("_PASSWORD", "_TOKEN")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Slot:
    """One slot of a server and its source; making a bad one raises BadSlotError."""

    kind: str
    """`environment`, `header`, `query`, `argument` or `oauth`; of no server: `admin`, `kept`."""
    name: str
    tool: str = ""
    """For an argument: the server's own name of the tool."""
    source: Source | None = None
    """What fills it; None where a sealed value does."""

    def __post_init__(self) -> None:
        pattern = _NAMES.get(self.kind)
        if pattern is None:
            raise BadSlotError(f"`{shown(self.kind)}` is no kind of slot")
        if pattern.fullmatch(self.name) is None or bool(self.tool) != (self.kind == "argument"):
            raise BadSlotError(f"`{shown(self.text)}` is no slot")
        if self.tool and self.tool not in METHOD_NAMES:
            parse_own_name(self.tool)
        if self.tool in METHOD_NAMES:
            raise BadSlotError(f"`{shown(self.tool)}` is no tool of a server")
        if self.kind == "environment" and _decides(self.name):
            raise BadSlotError(f"the variable `{self.name}` decides what runs, and is no place for a secret")
        if self.source is not None and self.kind not in _MINTED:
            raise BadSlotError(f"`{shown(self.place)}` is filled by no credential")
        if self.source is not None and self.source.scheme and self.kind != "header":
            raise BadSlotError(f"only a header can have a scheme, and `{shown(self.place)}` is no header")

    @property
    def place(self) -> str:
        """The slot without its source, unique per server."""
        return f"{self.kind}:{self.tool}/{self.name}" if self.tool else f"{self.kind}:{self.name}"

    @property
    def text(self) -> str:
        return self.place if self.source is None else f"{self.place}={self.source.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a value is sealed for."""

    namespace: str
    server: str
    """Its name."""
    identity: str
    """Digest of its identity: what was sealed for one program is opened for no other."""
    slot: str
    number: int
    """1 for the first value of the slot."""


SECRET_SLOT: Final = Slot(kind="oauth", name="client-secret")
KEY_SLOT: Final = Slot(kind="oauth", name="private-key")
ADMIN_SLOT: Final = Slot(kind="admin", name="access")
"""Of a target; a server that declares it is refused (`identity`)."""


def _decides(name: str) -> bool:
    if name in _CODE or name.startswith(_CODE_PREFIXES):
        return True
    either = name.upper()
    if either.endswith("_PROXY"):
        return True
    token = either.endswith(_TOKENS) and not either.startswith(_CONFIGURED)
    return either.startswith(_TOOLS) and not token


def parse_slot(text: str) -> Slot:
    place, mark, words = text.partition("=")
    source = parse_source(words) if mark else None
    kind, _, rest = place.partition(":")
    if kind == "argument":
        tool, mark, name = rest.rpartition("/")
        if not mark:
            raise BadSlotError(f"`{shown(text)}` names no tool", remedy="write `argument:TOOL/NAME`")
        return Slot(kind=kind, name=name, tool=tool, source=source)
    return Slot(kind=kind, name=rest.lower() if kind == "header" else rest, source=source)


def stand_ins(slots: Iterable[Slot]) -> dict[Slot, str]:
    """The values of credential slots while a person inspects the server."""
    return {one: one.source.stand_in for one in slots if one.source is not None}


def require_secret(slot: Slot, value: str) -> None:
    """Raises BadSecretError, without the value, unless it fits the slot."""
    size = len(value.encode("utf-8", "surrogatepass"))
    if not MIN_SECRET <= size <= MAX_SECRET:
        raise BadSecretError(f"a secret has {MIN_SECRET} to {MAX_SECRET} bytes, and this one has {size}")
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise BadSecretError("the secret holds what is no text")
    if slot.kind in _LINES and _HEADER.fullmatch(value) is None:
        raise BadSecretError("the secret can't stand in a header: it is not printable ASCII on one line")


def require_arguments(slots: Iterable[Slot], definitions: Iterable[ToolDefinition]) -> None:
    """Raises BadSlotError unless each argument slot exists in its tool."""
    known = {one.name: one for one in definitions}
    for slot in slots:
        if not slot.tool:
            continue
        if slot.tool not in known:
            raise BadSlotError(
                f"the server lists no tool `{shown(slot.tool)}`, which `{shown(slot.text)}` names"
            )
        properties = known[slot.tool].input_schema.get("properties")
        found = properties.get(slot.name) if isinstance(properties, dict) else None
        kind = found.get("type", "string") if isinstance(found, dict) else None
        if "string" not in (kind if isinstance(kind, list) else [kind]):
            raise BadSlotError(f"`{shown(slot.tool)}` takes no text as `{shown(slot.name)}`")


def offered(definition: bytes, names: Collection[str]) -> bytes:
    """The canonical definition without the slot arguments `names`."""
    if not names:
        return definition
    value = parse_object(definition)
    schema = value.get("inputSchema")
    if isinstance(schema, dict):
        properties, required = schema.get("properties"), schema.get("required")
        if isinstance(properties, dict):
            schema["properties"] = {name: one for name, one in properties.items() if name not in names}
        if isinstance(required, list):
            schema["required"] = [one for one in required if one not in names]
    return canonical(value)


def filled(arguments: bytes, values: Mapping[str, str]) -> bytes:
    """The arguments with the slot values; raises SlotTakenError."""
    if not values:
        return arguments
    given: dict[str, JsonValue] = parse_object(arguments)
    taken = given.keys() & values.keys()
    if taken:
        raise SlotTakenError(f"`{shown(min(taken))}` is filled on the way, and the call has it already")
    return canonical({**given, **values})


_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRETS: Final = _set(
    "apikey authorization bearer cookie credential credentials jwt pass passphrase passwd password pat pwd"
    " secret secrets token tokens"
)
_HINTS: Final = _SECRETS | _set("access auth authentication code key keys private session sig signature")
_ENDINGS: Final = ("apikey", "passwd", "password", "secret", "token")
_KEYS: Final = frozenset({"key", "keys"})
_OPENING: Final = frozenset(
    {"access", "admin", "api", "auth", "encryption", "master", "private", "secret", "service", "signing"}
)
_BEFORE: Final = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4}))"
"""Where a word begins, also behind what an encoding made of a character."""
_BEGINNINGS: Final = (
    r"gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}"
    rf"|{_BEFORE}(?:[sr]k_(?:live|test)_\w{{10,}}|sk-[\w-]{{16,}})"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w.-]{10,}"
    r"|npm_\w{20,}|pypi-[\w-]{16,}|hf_\w{16,}"
)
_TEXT: Final = re.compile(
    rf"(?:{_BEGINNINGS}|eyJ[\w-]{{8,}}\.eyJ[\w-]{{8,}}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|(?i:bearer|basic)[ ]+\S{8,}|[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:[^/\s@]+@)",
    re.ASCII,
)


def may_name_secret(name: str) -> bool:
    return names_secret(name) or not _HINTS.isdisjoint(_words(name))


def names_secret(name: str) -> bool:
    before, last = ["", "", *_words(name)][-2:]
    return last in _SECRETS or last.endswith(_ENDINGS) or (last in _KEYS and before in _OPENING)


def is_secret_text(text: str) -> bool:
    """True if the text is or contains a recognizable secret."""
    return _TEXT.search(text) is not None


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


_ESCAPES: Final = (
    (b'\\"', b'"'),
    (b"\\/", b"/"),
    (b"\\b", b"\b"),
    (b"\\f", b"\f"),
    (b"\\n", b"\n"),
    (b"\\r", b"\r"),
    (b"\\t", b"\t"),
)
_BACKSLASH: Final = b"\xff"
"""Stands for one that was escaped, until all else is undone: no byte of UTF-8."""
_CODES: Final = re.compile(rb"(?:\\u[0-9A-Fa-f]{4})++")
_PERCENT: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})++")
_SPACE: Final = b" \t\n\r\f\v"
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_NESTED: Final = 4
"""So many times a JSON document is taken out of a string of another."""
_LEFT: Final = 8
"""Bytes of a value that are found where it was cut: fewer stand in texts that have nothing to do with it."""
_CUT: Final = "…"
"""Stands where a text was cut."""
_WHOLE: Final = 3
"""Bytes that four characters of Base64 stand for."""


class Leaks:
    """Searches for some values; its repr omits them."""

    def __init__(self, values: Iterable[str]) -> None:
        whole = [one.encode() for one in values]
        self._plain = tuple(whole)
        self._coded = tuple({part for one in whole for part in _alignments(one)})
        self._digits = tuple(one.hex().encode() for one in whole)

    def beside(self, others: Leaks) -> Leaks:
        found = Leaks(())
        found._plain = self._plain + others._plain
        found._coded = self._coded + others._coded
        found._digits = self._digits + others._digits
        return found

    def found_in(self, *texts: bytes | str) -> bool:
        return any(self._in(one.encode() if isinstance(one, str) else one) for one in texts)

    def cut_in(self, *texts: str) -> bool:
        """True if a short text contains a value, or part of one at an end or before an ellipsis."""
        parts = (one.encode() for text in texts for one in text.split(_CUT))
        return self.found_in(*texts) or any(_cut(value, one) for one in parts for value in self._plain)

    def _in(self, text: bytes) -> bool:
        views = [text]
        while b"\\" in views[-1] and len(views) <= _NESTED:
            views.append(_unescaped(views[-1]))
        views += [_PERCENT.sub(_bytes, one) for one in views if b"%" in one]
        return any(map(self._stands_in, views))

    def _stands_in(self, view: bytes) -> bool:
        if any(value in view for value in self._plain):
            return True
        dense = view.translate(_URL_SAFE, _SPACE)
        if any(value in dense for value in self._coded):
            return True
        small = dense.lower()
        return any(value in small for value in self._digits)


def _cut(value: bytes, part: bytes) -> bool:
    sizes = range(_LEFT, min(len(value), len(part) + 1))
    within = len(part) >= _LEFT and part in value
    return within or any(part.endswith(value[:one]) or part.startswith(value[-one:]) for one in sizes)


def _alignments(value: bytes) -> Iterable[bytes]:
    for skip in range(_WHOLE):
        head = (_WHOLE - skip) % _WHOLE
        body = value[head:]
        whole = body[: len(body) - len(body) % _WHOLE]
        if whole:
            yield b64encode(whole)


def _bytes(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[0].replace(b"%", b"").decode())


def _unescaped(text: bytes) -> bytes:
    text = text.replace(b"\\\\", _BACKSLASH)
    for escape, meant in _ESCAPES:
        text = text.replace(escape, meant)
    return _CODES.sub(_characters, text).replace(_BACKSLASH, b"\\")


def _characters(found: re.Match[bytes]) -> bytes:
    return str(json.loads(b'"%b"' % found[0])).encode("utf-8", "replace")
