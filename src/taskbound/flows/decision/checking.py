"""Looking whether an attempt whose outcome is unknown had its effect, where a person declared what shows it.

1. Only after an unknown outcome, only where something is declared, and only when policy reads of it.
2. Nothing is looked at while an attempt of the act may still have its effect: while one is under way or in
   doubt, and until the declared time after the last was lost. More lost attempts than can be read show
   nothing.
3. What was found is recorded with the decision, and is worth the seconds that every look is; what was seen
   before that time shows nothing.
4. Only a plain key is looked for: printable ASCII without a space at its ends. A server may trim, fold or
   normalize another one before it writes its row, which would then not be found under what was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.approval import Operand, OperandUnreadableError, looks_of
from taskbound.core.approval.check import Shown, parse_checks, settled_at, shown_by
from taskbound.core.dataclass import dataclass
from taskbound.core.decision import Reason
from taskbound.core.errors import DeniedError
from taskbound.flows.approval.look.looking import Unseen, see

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.approval import Look
    from taskbound.core.clock import Instant
    from taskbound.flows.approval.look.looking import Sight
    from taskbound.flows.decision.attempts import Attempts
    from taskbound.flows.decision.views import ToolView


_WORDS: Final = {
    Shown.ABSENT: "an attempt before had no effect, as far as can be seen",
    Shown.PRESENT: "what an attempt before was to do is there already",
    Shown.UNSETTLED: "an attempt before may still have its effect",
    Shown.UNREADABLE: "whether an attempt before had its effect can't be looked at",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is known of the effect of the attempts before."""

    shown: Shown = Shown.NOTHING
    found: tuple[str, ...] = ()
    """What was found, each in words."""
    why: str = ""
    at: Instant | None = None
    """When it was looked at; None when nothing was."""

    @property
    def recorded(self) -> frozenset[str]:
        """The facts that are recorded of it, also where policy does not read them (rule 3)."""
        return frozenset({"check_found"}) if self.found else frozenset()


NOT_CHECKED: Final = Checked()


def check(
    tool: ToolView,
    arguments: Mapping[str, JsonValue],
    attempts: Attempts,
    sight: Sight | None,
    now: Instant,
) -> Checked | Unseen:
    """What the tool's checks show of the attempts before, or what has to be looked at first."""
    checks = parse_checks(tool.pinned.checks)
    if not checks or attempts.history.last_outcome != "unknown":
        return NOT_CHECKED  # 1
    if attempts.lost is None or now < settled_at(checks, attempts.lost):
        return Checked(shown=Shown.UNSETTLED)  # 2
    try:
        looks = looks_of([one.probe for one in checks], arguments, tool.definition.defaults, directory="/")
        _require_plain(looks)
    except DeniedError as error:
        return Checked(shown=Shown.UNREADABLE, why=error.message)
    seen = see(sight, looks, now)
    if isinstance(seen, Unseen):
        return seen
    early = seen.at < settled_at(checks, attempts.lost)  # 3
    return Checked(
        shown=Shown.UNSETTLED if early else shown_by(seen.found),
        found=tuple(canonical(one.value()).decode() for one in seen.found if isinstance(one, Operand)),
        why="; ".join(one.message for one in seen.found if isinstance(one, DeniedError)),
        at=seen.at,
    )


def _require_plain(looks: Iterable[Look]) -> None:
    """Go on only with keys that any server writes as they are (rule 4)."""
    for one in looks:
        if not (one.value.isascii() and one.value.isprintable() and one.value == one.value.strip(" ")):
            raise OperandUnreadableError("a key that is not plain ASCII may have been written otherwise")


def reason_of(checked: Checked) -> tuple[Reason, ...]:
    """What whoever asks is told of it, where the call is held."""
    if checked.shown is Shown.NOTHING:
        return ()
    return (Reason(code="checked", text=_WORDS[checked.shown], detail=checked.why),)
