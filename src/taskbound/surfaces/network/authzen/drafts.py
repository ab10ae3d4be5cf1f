"""What is a draft beside AuthZEN 1.0, and may change: how a hold is told, and what a caller has to see to.

From the *Access Request and Approval Profile* and the *Obligations Profile*, both draft 1 (July 2026).
Nothing else here knows of them; whoever does not is told `decision: false` all the same, and does nothing.

1. A hold is a denial that asking again may change: people are asked already, so there is no endpoint to ask
   at. `form_url` is where they look at it, and `expires_at` until when it stays open while nobody comes
   back.
2. The same evaluation again, with whatever these profiles have the caller add to its context, is the same
   act.
3. Of what lifts a hold one is an obligation of the caller's side: that the person signs in so (`step-up`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, render_instant
from taskbound.core.policy.step_up import parse_step_up

if TYPE_CHECKING:
    from taskbound.wire.action import NotPermitted


OURS: Final = frozenset({"access_request", "approval", "supported_obligations"})
"""Members of a request's context that are these profiles', and no fact about what is asked (rule 2)."""
OBLIGATIONS: Final = ("step-up",)
"""What a denial may oblige to, as the metadata names it."""


def held_context(said: NotPermitted, origin: str) -> dict[str, object]:
    """What a hold's denial says beside why (rules 1 and 3)."""
    request: dict[str, object] = {"expires_at": render_instant(Instant(said.until))}
    if said.approval:
        request["form_url"] = f"{origin}/approvals/{said.approval}"
    steps = [step for step in map(parse_step_up, said.lifters) if step is not None]
    obligations = [
        {
            "id": f"{said.action}-{number}",
            "type": "step-up",
            "properties": {
                **({"acr_value": step.acr} if step.acr else {}),
                **({"max_age": step.within} if step.within else {}),
            },
        }
        for number, step in enumerate(steps, 1)
    ]
    return {"access_request": request, **({"obligations": obligations} if obligations else {})}
