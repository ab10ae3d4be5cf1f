"""The engine that answers for the organisation's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from taskbound.core.policy import PolicyAnswer, PolicyRequest

__all__ = ["PolicyEngine"]


class PolicyEngine(Protocol):
    """Evaluates one bundle.

    MUST name every policy that matched and every policy that erred. MUST answer
    the same for the same request and bundle. A request that it can't evaluate at
    all is answered with `erred`, never with an exception and never as a permit.
    """

    @property
    def bundle(self) -> str:
        """Digest of the bundle."""

    @property
    def reads(self) -> frozenset[str]:
        """Names of the facts that its policies read (a subset of `taskbound.core.policy.FACTS`)."""

    def answer(self, request: PolicyRequest) -> PolicyAnswer:
        """What the bundle says to this request."""
