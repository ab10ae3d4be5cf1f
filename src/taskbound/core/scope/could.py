"""Whether a scope could cover a call of which only a part is known: for lists of what can be asked for.

1. What is known must meet a grant as `cover` has it; what is to come is taken as what the grant asks for.
2. A URI template is taken as every URI that it can stand for: a grant could cover one unless it is shown that
   it can't: by the few values that it permits, what its texts begin with, or the scheme, host and port of
   its URLs.
3. It answers for a list, and so in favor of showing: each call is decided when it is made.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.scope.constraints.containment import Excluded
from taskbound.core.scope.constraints.prefix import Prefix
from taskbound.core.scope.constraints.url import Url
from taskbound.core.scope.tree import UNMENTIONED, is_default, meets, schema_of_member
from taskbound.core.scope.verdict import MET, Met, Unmet, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.grant import Grant, Scope
    from taskbound.core.tool.template import UriTemplate


_NOT_NAMED: Final = Unmet(code="tool-not-granted", reason="is of a tool that no grant names")
_NO_EXPANSION: Final = Unmet(code="no-expansion", reason="stands for no URI that is granted")
_AUTHORITY: Final = re.compile(r"[A-Za-z]{2,5}://[^/]+/")


def could_cover(
    scope: Scope,
    tool: str,
    known: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
    *,
    step: int = 0,
) -> Verdict:
    """Whether a grant in force covers a call with these arguments and others that are to come (rule 1)."""
    verdict: Verdict = _NOT_NAMED
    for grant in scope.at(step).by_tool.get(tool, ()):
        verdict = _begun(grant, known, schema)
        if isinstance(verdict, Met):
            return verdict
    return verdict


def could_cover_template(
    scope: Scope, tool: str, argument: str, template: UriTemplate, *, step: int = 0
) -> Verdict:
    """Whether a grant in force could cover a call whose argument is a URI of this template (rule 2)."""
    verdict: Verdict = _NOT_NAMED
    for grant in scope.at(step).by_tool.get(tool, ()):
        node = grant.tree.members.get(argument)
        if node is None:
            verdict = UNMENTIONED if grant.tree.closed else MET
        elif node.rule is not None and _excluded(node.rule, template):
            verdict = _NO_EXPANSION
        else:
            verdict = MET
        if isinstance(verdict, Met):
            return verdict
    return verdict


def _begun(grant: Grant, known: Mapping[str, JsonValue], schema: Mapping[str, JsonValue] | None) -> Verdict:
    for name, value in known.items():
        node = grant.tree.members.get(name)
        if node is None:
            if grant.tree.closed and not is_default(schema, name, value):
                return UNMENTIONED
            continue
        verdict = meets(node, value, schema_of_member(schema, name))
        if not isinstance(verdict, Met):
            return verdict
    return MET


def _excluded(rule: Constraint, template: UriTemplate) -> bool:
    """Whether the rule is shown to permit no URI of the template (rule 2)."""
    values = rule.choices()
    if values is not None:
        return not any(isinstance(one, str) and template.stands_for(one) for one in values)
    if rule.alternatives():
        return all(_excluded(one, template) for one in rule.alternatives())
    if any(_excluded(one, template) for one in rule.conjuncts()):
        return True
    authority = _AUTHORITY.match(template.prefix)
    if isinstance(rule, Url) and authority is not None:
        return isinstance(replace(rule, path="/").permits(authority[0]), Unmet)
    return bool(template.prefix) and isinstance(Prefix(prefix=template.prefix).excludes(rule), Excluded)
