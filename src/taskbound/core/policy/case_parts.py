"""What cases are made of, whatever they are about: what is expected, facts, and how each is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.policy.answer import Fact, FactKind, Forbidden, Held, Permitted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.policy.answer import PolicyConclusion


OUTSIDE: Final = "outside-scope"
_NAME: Final = 200
_EXPECTED: Final = frozenset({"permit", "hold", "refuse", "policies"})
_CODES: Final = ("forbidden", "not-permitted", "policy-erred", "unmapped-argument", OUTSIDE)


class BadCaseError(MalformedError):
    """A case that can't be read as one."""

    code = "bad-case"
    remedy = "write it as docs/guides/policies.md does"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a case expects."""

    decision: str
    """`permit`, `hold` or `refuse`."""
    lifters: tuple[str, ...] = ()
    """All lifters of a hold; none means any."""
    code: str = ""
    """The code of a refusal; empty means any."""
    policies: tuple[str, ...] = ()
    """The policies that decided; none means any."""

    def missed(self, found: PolicyConclusion) -> str:
        """How a conclusion is not what was expected (rule 3); empty when it is."""
        decision, more = self._compared(found)
        if decision != self.decision:
            return f"it is {words_of(found)}"
        if self.policies and self.policies != tuple(sorted(found.policies)):
            return more or f"it was decided by {', '.join(sorted(found.policies)) or 'no policy'}"
        return more

    def _compared(self, found: PolicyConclusion) -> tuple[str, str]:
        match found:
            case Permitted():
                return "permit", ""
            case Held(lifters=lifters):
                same = self.lifters in {(), lifters}
                return "hold", "" if same else f"it is lifted by {', '.join(lifters)}"
            case Forbidden(code=code):
                return "refuse", "" if self.code in {"", code} else f"its code is {code}"


def words_of(found: PolicyConclusion) -> str:
    """A conclusion in words."""
    match found:
        case Permitted(policies=policies):
            return f"permit ({', '.join(policies)})"
        case Held(policies=policies, lifters=lifters):
            return f"hold, lifted by {', '.join(lifters)} ({', '.join(policies)})"
        case Forbidden(code=code, policies=policies, details=details):
            more = "; ".join(details)
            named = f" ({', '.join(policies)})" if policies else ""
            return f"refuse, {code}{named}{f': {more}' if more else ''}"


def expectation_of(value: JsonValue, where: str) -> Expectation:
    """What a case expects.

    Raises:
        BadCaseError: It is none of what can be.
    """
    told: dict[str, JsonValue] = (
        {value: None} if isinstance(value, str) else object_of(value, where, _EXPECTED)
    )
    decisions = [name for name in ("permit", "hold", "refuse") if name in told]
    if len(decisions) != 1:
        raise BadCaseError("a case expects one of `permit`, `hold` and `refuse`", where=where)
    decision, more = decisions[0], told[decisions[0]]
    place = f"{where}.{decision}"
    if decision == "refuse" and more is not None and more not in _CODES:
        raise BadCaseError(f"a call is refused with one of {', '.join(_CODES)}", where=place)
    if decision == "permit" and more is not None:
        raise BadCaseError("a permit has no more to say; name its policies in `policies`", where=place)
    return Expectation(
        decision=decision,
        lifters=texts_of(more, place) if decision == "hold" and more is not None else (),
        code=str(more) if decision == "refuse" and more is not None else "",
        policies=texts_of(told["policies"], f"{where}.policies") if "policies" in told else (),
    )


def fact_of(name: str, value: JsonValue, where: str, facts: Mapping[str, FactKind]) -> Fact:
    """The fact of this name that a case gives.

    Raises:
        BadCaseError: There is no such fact, or it is of another kind.
    """
    kind = facts.get(name)
    place = f"{where}.{name}" if "." not in name else f'{where}["{name}"]'
    if kind is None:
        raise BadCaseError(f"no fact is named `{name}`", where=place, remedy=f"use one of {', '.join(facts)}")
    match kind, value:
        case FactKind.TRUTH, bool():
            return value
        case FactKind.NUMBER, int() if not isinstance(value, bool):
            return value
        case ((FactKind.TEXT | FactKind.PERSON), str()):
            return value
        case ((FactKind.TEXTS | FactKind.PERSONS), list()):
            return texts_of(value, place)
        case _:
            raise BadCaseError(f"`{name}` is not {_KINDS[kind]}", where=place)


_KINDS: Final[Mapping[FactKind, str]] = {
    FactKind.TRUTH: "true or false",
    FactKind.NUMBER: "a whole number",
    FactKind.TEXT: "a text",
    FactKind.PERSON: "a text",
    FactKind.TEXTS: "a list of texts",
    FactKind.PERSONS: "a list of texts",
}


def object_of(value: JsonValue, where: str, members: frozenset[str]) -> dict[str, JsonValue]:
    """An object with no other members than these; any other refuses, so that no misspelt one is overlooked.

    Raises:
        BadCaseError: It is none.
    """
    if not isinstance(value, dict):
        raise BadCaseError("an object belongs here", where=where)
    for name in value:
        if name not in members:
            place = f"{where}.{name}" if where else name
            raise BadCaseError(
                f"nothing here is named `{name}`", where=place, remedy=f"use {', '.join(sorted(members))}"
            )
    return value


def text_of(value: JsonValue, where: str) -> str:
    """A text that can be shown.

    Raises:
        BadCaseError: It is none.
    """
    if not isinstance(value, str) or not value or len(value) > _NAME or not value.isprintable():
        raise BadCaseError(f"a text of 1 to {_NAME} characters that can be shown belongs here", where=where)
    return value


def texts_of(value: JsonValue, where: str) -> tuple[str, ...]:
    """A list of such texts, each once and in order.

    Raises:
        BadCaseError: It is none.
    """
    if not isinstance(value, list) or not value:
        if value == []:
            return ()
        raise BadCaseError("a list of texts belongs here", where=where)
    return tuple(sorted({text_of(one, f"{where}[{number}]") for number, one in enumerate(value)}))
