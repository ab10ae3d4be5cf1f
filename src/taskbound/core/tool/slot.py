"""Slots: where a secret of an upstream server goes, and what fills it.

Of `slot`:

Rules:

1. A slot is written `KIND:NAME`. `environment:NAME` is a variable of a server that is started; `header:NAME`
   and `query:NAME` go with each request to a URL; `argument:TOOL/NAME` is a top-level argument of one of the
   server's own tools. `oauth:client-secret` and `oauth:private-key` are what a client proves itself with
   where tokens for a URL are given (`oauth.client`). Two are no server's: `admin:access`, what the broker
   comes to a target with, and `kept:CREDENTIAL`, what ends a credential there. There is one way to write it:
   headers in small letters. Behind `=` may stand what fills it in place of a sealed value: a credential that
   is minted for the task (`source`).
2. A slot holds what opens something, and nothing that decides what runs or who is spoken to: no variable
   that a loader, a shell or an interpreter takes for code or for a place of code, and none that a tool's
   configuration, a proxy or a list of authorities is taken from. A token of such a tool (`GIT_TOKEN`,
   `NPM_TOKEN`) is one.
3. A value is `MIN_SECRET` to `MAX_SECRET` bytes of UTF-8: what is shorter can't be told from other text
   when an answer is looked through for it. It holds no zero byte, and in a header and for OAuth printable
   ASCII only.
4. A value is sealed for one binding: namespace, server, identity, slot and number. What opens under another
   is not believed (`wire.secret`). Each value of a slot has the number after the one before.

Of `source`:

1. A source is written `credential:TARGET/KIND#NAME`: what the target gives under this name (`PGPASSWORD`)
   of a credential of this kind. What the kind leaves to who asks is pinned with it,
   `credential:TARGET/KIND?tenant=acme#NAME`, and so may be for how many `seconds`. In a header a scheme may
   stand before it, as HTTP writes them: `Bearer credential:…`.
2. There is one way to write it: parameters are sorted and distinct, and all but letters, digits and `-._~`
   of their values is percent-encoded in capitals.
3. Slots of one server whose sources differ in nothing but the name are filled by one credential.
4. Which target, kind and names there are is the target's to say, when it is asked for: what is read here
   could be a source, and is no word that it is one.
5. Who looks at what a server lists is no task, and nothing is minted for them: the server is started with a
   text that opens nothing.

Of `argument`:

Rules:

1. The argument is a top-level property of the tool's pinned input schema, and can be a text. Otherwise nobody
   could tell what a value in it does, and the server isn't pinned.
2. An agent is offered the schema without it, and without the word that it is required.
3. What an agent sends does not have it. A call that has it is not sent: whose value it is can't be told.
4. What is sent is what was decided on, and in it the values, in canonical bytes.

Of `secret`:

Nobody can tell a secret from any other text. Rules:

1. A name may say so by any of its words (`may_name_secret`): `x-session-id`, `auth_mode`. That is enough to
   keep a header or a parameter out of what is pinned and shown.
2. A name says so by its last word (`names_secret`): `GITHUB_TOKEN`, `--password`, `PGPASSWORD`. A key is one
   when the word before it says what it opens: `API_KEY`, and not `sort-key`.
3. A text says so by a beginning that an issuer gives to its tokens, by being a private key or a signed token
   (RFC 7519), by what stands before it in a header (`Bearer`, `Basic`), or as the password of a URL. A short
   beginning (`sk-`) counts where a word begins, and not at the end of another one (`task-`, `risk_test_`).
4. What merely looks random is no secret here: digests, ids and paths do too, and half of a guess would be
   relied on.

The beginnings are those that the issuers document for secret scanning (GitHub, GitLab, Slack, Stripe, OpenAI,
Anthropic, AWS, Google, npm, PyPI, Hugging Face).
"""

from __future__ import annotations

import re
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
    """Where the value of one slot comes from.

    Raises:
        BadSlotError: On making one that rule 1 doesn't allow.
    """

    target: str
    kind: str
    name: str
    """What of the credential goes into the slot: the variable that programs of the target read."""
    parameters: tuple[tuple[str, str], ...] = ()
    """What is left to who asks, and `seconds`; sorted by name."""
    scheme: str = ""
    """What stands before the value in a header, with a space between; empty for nothing."""

    def __post_init__(self) -> None:
        """Require rules 1 and 2."""
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
        """As what the credential is asked for."""
        return join_tool_name(self.target, CREDENTIAL + self.kind)

    @property
    def seconds(self) -> int:
        """For how long it is asked for; 0 for as long as the kind allows."""
        return int(dict(self.parameters).get(_SECONDS, "0"))

    @property
    def given(self) -> dict[str, str]:
        """The parameters but for `seconds`."""
        return {name: value for name, value in self.parameters if name != _SECONDS}

    @property
    def credential(self) -> str:
        """The credential that it is of: equal for all slots that one fills (rule 3)."""
        asked = "&".join(f"{name}={encoded(value)}" for name, value in self.parameters)
        return f"{SOURCE}{self.target}/{self.kind}{'?' if asked else ''}{asked}"

    @property
    def text(self) -> str:
        """The one way to write it (rule 2)."""
        return f"{self.scheme}{' ' if self.scheme else ''}{self.credential}#{self.name}"

    @property
    def stand_in(self) -> str:
        """What is in the slot while a person looks at the server: nothing is minted for that (rule 5)."""
        return self.value("taskbound-looks")

    def value(self, found: str) -> str:
        """What goes into the slot where the credential says this."""
        return f"{self.scheme} {found}" if self.scheme else found


def parse_source(text: str) -> Source:
    """The source that a text names.

    Raises:
        BadSlotError: It names none, or is not written in the one way (rules 1 and 2).
        MalformedError: Its target can't be one.
    """
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
    """One place of one server, and what fills it.

    Raises:
        BadSlotError: On making one that rules 1 and 2 don't allow.
    """

    kind: str
    """`environment`, `header`, `query`, `argument` or `oauth`; of no server: `admin`, `kept`."""
    name: str
    tool: str = ""
    """For an argument: the server's own name of the tool."""
    source: Source | None = None
    """What fills it; None where a sealed value does."""

    def __post_init__(self) -> None:
        """Require rules 1 and 2."""
        pattern = _NAMES.get(self.kind)
        if pattern is None:
            raise BadSlotError(f"`{shown(self.kind)}` is no kind of slot")
        if pattern.fullmatch(self.name) is None or bool(self.tool) != (self.kind == "argument"):
            raise BadSlotError(f"`{shown(self.text)}` is no slot")  # 1
        if self.tool and self.tool not in METHOD_NAMES:
            parse_own_name(self.tool)
        if self.tool in METHOD_NAMES:
            raise BadSlotError(f"`{shown(self.tool)}` is no tool of a server")
        if self.kind == "environment" and _decides(self.name):
            raise BadSlotError(
                f"the variable `{self.name}` decides what runs, and is no place for a secret"
            )  # 2
        if self.source is not None and self.kind not in _MINTED:
            raise BadSlotError(f"`{shown(self.place)}` is filled by no credential")
        if self.source is not None and self.source.scheme and self.kind != "header":
            raise BadSlotError(f"a scheme stands in a header, and `{shown(self.place)}` is none")

    @property
    def place(self) -> str:
        """Where it is, whatever fills it: no server has two slots in one place."""
        return f"{self.kind}:{self.tool}/{self.name}" if self.tool else f"{self.kind}:{self.name}"

    @property
    def text(self) -> str:
        """The one way to write it."""
        return self.place if self.source is None else f"{self.place}={self.source.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a value is sealed for (rule 4)."""

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
    """Whether a variable of this name decides what runs or who is spoken to (rule 2)."""
    if name in _CODE or name.startswith(_CODE_PREFIXES):
        return True
    either = name.upper()
    if either.endswith("_PROXY"):
        return True
    token = either.endswith(_TOKENS) and not either.startswith(_CONFIGURED)
    return either.startswith(_TOOLS) and not token


def parse_slot(text: str) -> Slot:
    """The slot that a text names.

    Raises:
        BadSlotError: It names none (rules 1 and 2).
        MalformedError: Its source can't be one.
    """
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
    """What is in the slots that credentials fill, while a person looks at the server (`source`, rule 5)."""
    return {one: one.source.stand_in for one in slots if one.source is not None}


def require_secret(slot: Slot, value: str) -> None:
    """Go on only with a value that can stand in the slot (rule 3); the value is in no error.

    Raises:
        BadSecretError: It can't.
    """
    size = len(value.encode("utf-8", "surrogatepass"))
    if not MIN_SECRET <= size <= MAX_SECRET:
        raise BadSecretError(f"a secret has {MIN_SECRET} to {MAX_SECRET} bytes, and this one has {size}")
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise BadSecretError("the secret holds what is no text")
    if slot.kind in _LINES and _HEADER.fullmatch(value) is None:
        raise BadSecretError("the secret can't stand in a header: it is not printable ASCII on one line")


def require_arguments(slots: Iterable[Slot], definitions: Iterable[ToolDefinition]) -> None:
    """Go on only with slots whose tools have such an argument (rule 1).

    Raises:
        BadSlotError: One has not.
    """
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
    """The definition as an agent is offered it: without these arguments (rule 2).

    Args:
        definition: A pinned definition's canonical bytes.
        names: Its arguments that are slots.
    """
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
    """The arguments with these values (rule 4).

    Raises:
        SlotTakenError: They have one already (rule 3).
    """
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
    """Whether the name of a variable, a header or a parameter may be that of a secret (rule 1)."""
    return names_secret(name) or not _HINTS.isdisjoint(_words(name))


def names_secret(name: str) -> bool:
    """Whether the name says that its value is a secret (rule 2)."""
    before, last = ["", "", *_words(name)][-2:]
    return last in _SECRETS or last.endswith(_ENDINGS) or (last in _KEYS and before in _OPENING)


def is_secret_text(text: str) -> bool:
    """Whether a text shows that it is, or holds, a secret (rules 3 and 4)."""
    return _TEXT.search(text) is not None


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
