"""What may be asked of a kind of credential: its parameters, and for how long, by its pinned definition.

1. All that the definition requires is there, each a text within its bounds, without spaces where it says so,
   and nothing that it does not know: these texts go to the target as they are.
2. `seconds` is an integer from 1 to what the kind allows; where it is not there, the definition says it.
3. A renewal names the credential that it is of by `renews`, where the definition knows that.
4. A definition that says none of that is no kind's, and nothing is asked for by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.credential.errors import BadCredentialLifeError
from taskbound.core.dataclass import dataclass
from taskbound.core.target.errors import BadKindError, BadParameterError
from taskbound.core.target.kind import PLAIN, RENEWS, SECONDS
from taskbound.core.target.redis_patterns import is_plain
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.definition import ToolDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """For how long a credential is asked for, in seconds."""

    asked: int
    """1 to `most`."""
    most: int
    """What its kind allows."""
    renews: str = ""
    """The id of the credential that lives so long from now on; empty where a new one is asked for."""


def require_parameters(definition: ToolDefinition, arguments: Mapping[str, JsonValue]) -> None:
    """Go on only with what this kind knows, and all that it requires (rule 1).

    Raises:
        BadParameterError: One is missing, unknown, no text, too long, or has a space where none may be.
        BadKindError: The definition is no kind's.
    """
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
    """For how long it is asked for (rule 2).

    Raises:
        BadCredentialLifeError: That is no number of seconds, or more than the kind allows.
        BadKindError: The definition is no kind's.
    """
    properties = _properties(definition)
    most, default = (_bound(properties, SECONDS, bound) for bound in ("maximum", "default"))
    asked = arguments.get(SECONDS, default)
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= most:
        raise BadCredentialLifeError(f"`{SECONDS}` is a whole number from 1 to {most}")
    return Life(asked=asked, most=most, renews=renewed_by(definition, arguments))


def renewed_by(definition: ToolDefinition, arguments: Mapping[str, JsonValue]) -> str:
    """The id of the credential that is to be renewed; empty where a new one is asked for (rule 3)."""
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
    """What bounds this parameter (rule 4)."""
    schema = properties.get(name)
    found = schema.get(bound) if isinstance(schema, dict) else None
    if isinstance(found, bool) or not isinstance(found, int):
        raise BadKindError(f"nothing says what `{shown(name)}` of this kind of credential may be")
    return found
