"""A kind of credential: what people declared that may be minted in a target, and as what it is asked for.

1. It is asked for as an action of the tool `TARGET__credential/KIND`. The tool's definition is ours, made of
   the declaration, and says all that a scope may limit: the parameters, and for how many seconds. Behind what
   it is for it says what it may do in the target, which is what approvers read.
2. Each parameter is a text of 1 to 256 characters. What it may be is the scope's to say, and a policy's.
   One that stands in a pattern of a Redis has no space in it: it is refused where it is asked for, and not by
   the server once it was permitted.
3. A kind that is declared renewable has one more parameter, `renews`: the id of a credential of its own that
   is to live longer. No other is minted then, and nothing but its end changes (`renewing`).
4. Having a credential is having all that it may do, for as long as it lasts. So the effect is declared, and
   is the worst where nothing is; and asking twice is two credentials.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.target.errors import BadKindError
from taskbound.core.target.redis import RedisKind
from taskbound.core.tool.definition import Effect, parse_definition
from taskbound.core.tool.name import CREDENTIAL, is_reserved, shown

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue
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
    """One kind, as it was declared.

    Raises:
        BadKindError: On making one that the rules don't allow.
    """

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
        """Require a name, a line and a life."""
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
        """What is left to who asks, by name and sorted (rule 2)."""
        return self.grants.parameters


def kind_definition(kind: CredentialKind) -> ToolDefinition:
    """The definition of the tool as which it is asked for (rule 1)."""
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
