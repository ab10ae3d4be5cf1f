"""What fills a slot in place of a sealed value: a credential that is minted for the task.

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
"""

from __future__ import annotations

import re
from typing import Final

from taskbound.core.dataclass import dataclass
from taskbound.core.tool.errors import BadSlotError
from taskbound.core.tool.name import CREDENTIAL, is_reserved, join_tool_name, parse_server_name, shown
from taskbound.core.tool.percent import decoded, encoded

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
