"""The page of operations as policies see them, made from their table."""

from __future__ import annotations

from typing import Final

from taskbound.core.policy.operation import ABOVE, OPERATION_FACTS, Right
from taskbound.core.policy.operations import OPERATIONS

PAGE: Final = "docs/reference/operations.md"
_HEAD: Final = """\
# Operations, as policies see them

Every operation of Taskbound's own API is authorized by the policies in force, whichever surface brought it
(the [guide](../guides/policies.md#who-may-ask-for-what) has an example).

"""
_PERSON: Final = (
    '`Taskbound::Person::"NAMESPACE/NAME"`, in its `Taskbound::Group::"NAMESPACE/GROUP"`; '
    '`Taskbound::Agent::"NAMESPACE/NAME"` for a gateway; '
    '`Taskbound::Service::"NAMESPACE/NAME"` for a service, and for a process of ours, such as '
    "`NAMESPACE/egress`"
)
_ACTION: Final = (
    '`Taskbound::Action::"OPERATION"`, in the group of its right and in `Taskbound::Action::"operation"`; '
    'what services may ask for beside that is in `Taskbound::Action::"service"` too'
)
_RESOURCE: Final = (
    'what it is about, `Taskbound::KIND::"NAMESPACE/NAME"`, in what stands above it; '
    'the namespace itself is `Taskbound::Namespace::"NAMESPACE"`'
)
_WORDS: Final = (
    ("`principal`", _PERSON),
    ("`action`", _ACTION),
    ("`resource`", _RESOURCE),
    ("`context`", "its facts"),
)
_MORE: Final = """\

Principals and resources of operations have no attributes. A fact of what does not exist is empty.
`proof_kind` is `peer-uid`, `x509-svid`, `jwt-svid`, `oidc`, `key`, `account` or `token`, and every operation
has it. *Recorded* means that a refusal leaves one record. This page is made from the code by `dev/docs`.

"""


def operations_page() -> str:
    """The page."""
    parts = [_HEAD, "| in a policy | is |\n| --- | --- |\n"]
    parts += [f"| {name} | {words} |\n" for name, words in _WORDS]
    parts.append(_MORE)
    for right in Right:
        rows = [one for one in OPERATIONS.values() if one.right is right]
        if not rows:
            continue
        parts.append(
            f"## `{right.value}`\n\n| operation | about | facts | recorded |\n| --- | --- | --- | --- |\n"
        )
        for one in rows:
            above = [kind.value for kind in ABOVE[one.about]]
            about = one.about.value + (f" in {', '.join(above)}" if above else "")
            facts = ", ".join(f"`{name}`" for name in one.facts if name != "proof_kind")
            parts.append(f"| `{one.name}` | {about} | {facts} | {'yes' if one.changes else ''} |\n")
        parts.append("\n")
    parts.append("## Facts\n\n| fact | kind |\n| --- | --- |\n")
    parts += [f"| `{name}` | {kind.value} |\n" for name, kind in OPERATION_FACTS.items()]
    return "".join(parts)
