"""What follows for a call from what policy has concluded: something to pay for, a hold, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.decision import Evaluated, Hold, Holding, Reason, Refuse
from taskbound.core.policy import Forbidden, Held, Permitted

if TYPE_CHECKING:
    from taskbound.core.decision import Verdict
    from taskbound.core.policy import PolicyConclusion
    from taskbound.core.scope import Covered


_ASK: Final = "do something else, or ask the owner of the policies"
_POLICY_WORDS: Final = {
    "unmapped-argument": (
        "a policy reads an argument that can't be told to it",
        "give the argument as the tool's schema says, or ask the owner of the policies",
    ),
    "policy-erred": ("a policy could not be evaluated", "ask the owner of the policies to mend it"),
    "forbidden": ("the organisation's rules forbid it", _ASK),
    "not-permitted": ("no policy permits it", _ASK),
}


def verdict_of(conclusion: PolicyConclusion, covered: Covered) -> Verdict:
    """The verdict on a call that these grants cover."""
    match conclusion:
        case Permitted() as permitted:
            return Evaluated(covered=covered, policies=permitted.policies)
        case Held() as held:
            lifters = ", ".join(held.lifters)
            hold = Hold(
                reasons=tuple(
                    Reason(code="held", text=f"policy `{one}` holds it", detail=f"lifted by {lifters}")
                    for one in held.policies
                ),
                policies=held.policies,
                lifters=held.lifters,
            )
            return Holding(covered=covered, hold=hold)
        case Forbidden() as forbidden:
            text, instead = _POLICY_WORDS[forbidden.code]
            details = forbidden.details or ("",) * len(forbidden.policies)
            reasons = tuple(
                Reason(code=forbidden.code, text=text, detail=f"{one}: {more}" if more else one)
                for one, more in zip(forbidden.policies, details, strict=True)
            )
            return Refuse(
                code=forbidden.code,
                reasons=reasons or (Reason(code=forbidden.code, text=text),),
                instead=instead,
                policies=forbidden.policies,
            )
