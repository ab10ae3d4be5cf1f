"""Kinds of credentials, their parameters, and logins that Taskbound did not mint.

1. A kind is requested as an action of the tool `TARGET__credential/KIND`. Its definition is made from the
   declaration: the parameters, the seconds, and for approvers what the credential may do.
2. A parameter is a text of 1 to 256 characters; scope and policy limit its values. A parameter in a Redis
   pattern has no space, and is refused before the permit rather than by the server after it.
3. A renewable kind has the parameter `renews`, the id of the caller's credential to renew. A renewal mints
   nothing and changes only the end.
4. A credential grants all that it may do for its whole life. So its effect is declared and defaults to the
   worst, and two requests give two credentials.

Arguments must match the definition exactly, because they go to the target as they are. `seconds` is an
integer from 1 to the kind's maximum, and has the definition's default.

Discovered logins: only exact names of this installation's credentials are ours
(`core.credential.pattern_of`); a name that merely begins like one is listed. Facts that a target does not
report stay unknown. The most powerful come first, then the oldest, then those of unknown age, by name.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.credential.errors import BadCredentialLifeError
from taskbound.core.dataclass import dataclass
from taskbound.core.target.errors import BadKindError, BadParameterError
from taskbound.core.target.redis import RedisKind
from taskbound.core.target.redis_patterns import is_plain
from taskbound.core.tool.definition import Effect, parse_definition
from taskbound.core.tool.name import CREDENTIAL, is_reserved, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.target.systems import Grants
    from taskbound.core.tool.definition import ToolDefinition


LONGEST: Final = 86_400
"""Seconds: more than a day is no task's."""
MAX_PARAMETER: Final = 256
PLAIN: Final = r"^\S+$"
"""The `pattern` of a text that has no spaces and no characters of control (rule 2)."""
SECONDS: Final = "seconds"
"""The parameter that every kind has: for how long."""
RENEWS: Final = "renews"
"""The parameter of a renewal: which credential it is of."""
_ID: Final = 39
"""Characters of a credential's id (`core.credential.name`)."""
_DESCRIPTION: Final = re.compile(r"[^\x00-\x1f\x7f]{1,400}")
_HINTS: Final[dict[Effect, dict[str, JsonValue]]] = {
    Effect.READ: {"readOnlyHint": True},
    Effect.WRITE: {"destructiveHint": False, "readOnlyHint": False},
    Effect.DESTRUCTIVE: {"destructiveHint": True, "readOnlyHint": False},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialKind:
    """A declared kind of credential. Raises BadKindError if the rules do not allow it."""

    name: str
    description: str
    """What it is for, as approvers see it: one line of 400 characters at most."""
    seconds: int
    """The longest that one may live; 1 to `LONGEST`."""
    grants: Grants
    """What the target lets it do."""
    effect: Effect = Effect.DESTRUCTIVE
    renewable: bool = False
    """Whether one that lives may be asked to live longer."""

    def __post_init__(self) -> None:
        if not is_reserved(CREDENTIAL + self.name):
            raise BadKindError(f"`{shown(self.name)}` can't name a kind of credential")
        if _DESCRIPTION.fullmatch(self.description) is None:
            raise BadKindError(f"the kind `{self.name}` is described in one line of 400 characters at most")
        if not 1 <= self.seconds <= LONGEST:
            raise BadKindError(f"a credential lives 1 to {LONGEST} seconds")
        if SECONDS in self.parameters:
            raise BadKindError(f"`{SECONDS}` says how long a credential lives, and is no other parameter")
        if RENEWS in self.parameters:
            raise BadKindError(f"`{RENEWS}` says which credential is renewed, and is no other parameter")

    @property
    def parameters(self) -> tuple[str, ...]:
        return self.grants.parameters


def kind_definition(kind: CredentialKind) -> ToolDefinition:
    """Returns the definition of the tool that requests this kind (rule 1)."""
    plain: dict[str, JsonValue] = {"pattern": PLAIN} if isinstance(kind.grants, RedisKind) else {}
    texts: dict[str, JsonValue] = {
        name: {"maxLength": MAX_PARAMETER, "minLength": 1, "type": "string", **plain}
        for name in kind.parameters
    }
    seconds: JsonValue = {
        "default": kind.seconds,
        "description": "How long it is wanted. It ends with the task in any case.",
        "maximum": kind.seconds,
        "minimum": 1,
        "type": "integer",
    }
    renews: dict[str, JsonValue] = {}
    if kind.renewable:  # 3
        renews[RENEWS] = {
            "description": "The id of a credential of this task, which lives longer instead: from now on for"
            " so many seconds, with the same other parameters. Left out, a new one is asked for.",
            "maxLength": _ID,
            "minLength": _ID,
            "type": "string",
        }
    return parse_definition(
        canonical(
            {
                "annotations": {"idempotentHint": False, "openWorldHint": False, **_HINTS[kind.effect]},
                "description": f"{kind.description} [{kind.effect.value}: {kind.grants.words}]",
                "inputSchema": {
                    "additionalProperties": False,
                    "properties": {**texts, **renews, SECONDS: seconds},
                    "required": list(kind.parameters),
                    "type": "object",
                },
                "name": CREDENTIAL + kind.name,
            }
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """The requested life of a credential, in seconds."""

    asked: int
    """1 to `most`."""
    most: int
    """What its kind allows."""
    renews: str = ""
    """The id of the credential that lives so long from now on; empty where a new one is asked for."""


def require_parameters(definition: ToolDefinition, arguments: Mapping[str, JsonValue]) -> None:
    """Raises BadParameterError for bad arguments, BadKindError for a definition that is not a kind's."""
    properties = _properties(definition)
    required = definition.input_schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in arguments:
            raise BadParameterError(f"a credential of this kind needs `{shown(str(name))}`")
    for name, value in arguments.items():
        if name == SECONDS:
            continue
        if name not in properties:
            raise BadParameterError(f"a credential of this kind has no `{shown(name)}`")
        least, most = (_bound(properties, name, bound) for bound in ("minLength", "maxLength"))
        if not isinstance(value, str) or not least <= len(value) <= most:
            raise BadParameterError(f"`{shown(name)}` is a text of {least} to {most} characters")
        if _is_to_be_plain(properties, name) and not is_plain(value):
            raise BadParameterError(f"`{shown(name)}` is a text without spaces and characters of control")


def life_of(definition: ToolDefinition, arguments: Mapping[str, JsonValue]) -> Life:
    """Returns the requested life; raises BadCredentialLifeError if the kind does not allow it."""
    properties = _properties(definition)
    most, default = (_bound(properties, SECONDS, bound) for bound in ("maximum", "default"))
    asked = arguments.get(SECONDS, default)
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= most:
        raise BadCredentialLifeError(f"`{SECONDS}` is a whole number from 1 to {most}")
    return Life(asked=asked, most=most, renews=renewed_by(definition, arguments))


def renewed_by(definition: ToolDefinition, arguments: Mapping[str, JsonValue]) -> str:
    """Returns the id of the credential to renew; empty for a new credential (rule 3)."""
    if RENEWS not in _properties(definition):
        return ""
    found = arguments.get(RENEWS)
    return found if isinstance(found, str) else ""


def _properties(definition: ToolDefinition) -> Mapping[str, JsonValue]:
    found = definition.input_schema.get("properties")
    return found if isinstance(found, dict) else {}


def _is_to_be_plain(properties: Mapping[str, JsonValue], name: str) -> bool:
    schema = properties.get(name)
    pattern = schema.get("pattern") if isinstance(schema, dict) else None
    if pattern not in {None, PLAIN}:
        raise BadKindError(f"what `{shown(name)}` of this kind of credential may be is not known here")
    return pattern == PLAIN


def _bound(properties: Mapping[str, JsonValue], name: str, bound: str) -> int:
    schema = properties.get(name)
    found = schema.get(bound) if isinstance(schema, dict) else None
    if isinstance(found, bool) or not isinstance(found, int):
        raise BadKindError(f"nothing says what `{shown(name)}` of this kind of credential may be")
    return found


class LoginOwner(Enum):
    """The owner of a login, as far as its name shows."""

    OTHERS = "others"
    """Taskbound did not mint it."""
    ADMIN = "admin"
    """The broker itself comes with it: this target's admin access."""
    INSTALLATION = "installation"
    """Another installation minted it."""


class Reach(Enum):
    """How far the login's rights go."""

    ALL = "all"
    """Everything there, or whatever may become what may."""
    BEYOND = "beyond"
    """Beyond data: it makes other logins, reads files, passes policies by, or may become what does."""
    DATA = "data"


class Entry(Enum):
    """How the login authenticates."""

    UNKNOWN = "unknown"
    """The target doesn't show that to this admin access."""
    ASKED = "asked"
    """It has to prove who it is."""
    OPEN = "open"
    """It may be let in without a password or a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingAccess:
    """A login or key in a target that Taskbound did not mint."""

    name: str
    """As the target has it: any text."""
    what: str
    """`login` or `key`."""
    whose: LoginOwner
    reach: Reach
    rights: tuple[str, ...]
    """Short lines of ours; what the target says stands in them between backticks, with visible escapes."""
    since: Instant | None = None
    """When it was made; None where the target doesn't tell."""
    used: Instant | None = None
    """When it was used last; None where the target doesn't tell."""
    open: int = 0
    """How many sessions of it are open now."""
    ends: Instant | None = None
    """When it ends by itself; None for never."""
    entry: Entry = Entry.UNKNOWN


_ORDER: Final = tuple(Reach)


def worst_first(found: Iterable[ExistingAccess]) -> tuple[ExistingAccess, ...]:
    """Sorts discovered logins, the most powerful and oldest first."""
    return tuple(
        sorted(found, key=lambda one: (_ORDER.index(one.reach), one.since is None, one.since or 0, one.name))
    )
