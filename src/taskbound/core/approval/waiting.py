"""What an agent reads while its action waits for people: who is asked, the approval's id, and until when.

1. A group is named as the policy names it, and persons where the policy names none. The deadline's day is
   named where it is not the day of the question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.approval.question import AGENT, NeedKind
from taskbound.core.approval.quorum import askable
from taskbound.core.clock import render_instant

if TYPE_CHECKING:
    from taskbound.core.approval.question import Need, Question
    from taskbound.core.approval.quorum import Circle


def waiting_words(question: Question, circle: Circle) -> str:
    """The sentence about this question, by the people of now."""
    asked = " and ".join(_need_words(one, circle) for one in question.needs)
    day, _, time = render_instant(question.deadline).partition("T")
    until = time[:5] if render_instant(question.asked).startswith(day) else f"{day} {time[:5]}"
    return f"waiting for {asked}: {question.id}, until {until} UTC"


def _need_words(need: Need, circle: Circle) -> str:
    if need.kind is NeedKind.EVIDENCE:
        issuer = need.group.partition(".")[2]
        return f"evidence by {issuer or 'an issuer'}"
    if need.kind is NeedKind.CONFIRMATION:
        return f"confirmation by {circle.requester}"
    by = " or ".join(sorted(askable(need, circle))) if need.group == AGENT else need.group  # 1
    return f"approval by {f'{need.quorum} of ' if need.quorum > 1 else ''}{by or 'those who approve for it'}"
