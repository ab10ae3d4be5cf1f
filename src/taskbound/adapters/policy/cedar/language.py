"""Cedar as the policy language."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cedarpy

from taskbound.adapters.policy.cedar.bundle import split
from taskbound.adapters.policy.cedar.engine import CedarPolicyEngine, rights
from taskbound.adapters.policy.cedar.problems import problems_of
from taskbound.adapters.policy.cedar.vocabulary import schema_text
from taskbound.core.policy import PolicySyntaxError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from taskbound.core.policy import PolicyProblem, PolicyTool


class CedarLanguage:
    """See `taskbound.ports.policy.PolicyLanguage`."""

    def engine(self, text: str, *, digest: str = "") -> CedarPolicyEngine:
        return CedarPolicyEngine(text, digest=digest)

    def rights(self) -> CedarPolicyEngine:
        """Returns an engine with only the base policies for operations."""
        return CedarPolicyEngine(rights())

    def problems(
        self,
        files: Mapping[str, str],
        tools: Sequence[PolicyTool],
        groups: Collection[str] | None = None,
    ) -> tuple[PolicyProblem, ...]:
        return problems_of(files, tools, groups)

    def vocabulary(self, tools: Sequence[PolicyTool]) -> str:
        return schema_text(tools)

    def formatted(self, text: str) -> str:
        split(text)
        try:
            return cedarpy.format_policies(text)
        except ValueError as error:
            raise PolicySyntaxError(f"the text can't be formatted: {error}") from error
