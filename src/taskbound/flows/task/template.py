"""Keeping scopes and lifetimes under names, to make tasks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.audit import TemplateRemoved, TemplateSaved
from taskbound.core.errors import DeniedError
from taskbound.core.identity import parse_name
from taskbound.core.task import Template, parse_lifetime

if TYPE_CHECKING:
    from taskbound.core.scope import Scope
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction

__all__ = ["UnknownTemplateError", "drop_template", "save_template"]


class UnknownTemplateError(DeniedError):
    """No template has this name."""

    code = "unknown-template"
    remedy = "list them with `taskbound template list`"


def save_template(  # noqa: PLR0913 - what a template is made of, each by its name
    means: Means, namespace: str, name: str, scope: Scope, *, seconds: int, purpose: str, actor: Actor
) -> Template:
    """Keep this under the name, over what it held before.

    Raises:
        MalformedError: The name or the lifetime can't be.
    """
    parse_name(name, what="a template")
    parse_lifetime(seconds)

    def work(tx: Transaction) -> Template:
        known = tx.tasks.template(namespace, name)
        before = known.version if known else 0
        template = Template(
            namespace=namespace, name=name, scope=scope, seconds=seconds, purpose=purpose, version=before + 1
        )
        tx.tasks.put_template(template, expect=before)
        event = TemplateSaved(
            template=name, scope=scope.digest, seconds=seconds, by=actor.name, proof=actor.proof
        )
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return template

    return means.store.write(work)


def drop_template(means: Means, namespace: str, name: str, actor: Actor) -> None:
    """Forget the template.

    Raises:
        UnknownTemplateError: There is none of this name.
    """

    def work(tx: Transaction) -> None:
        if tx.tasks.template(namespace, name) is None:
            raise UnknownTemplateError(f"no template is named `{name}`")
        tx.tasks.drop_template(namespace, name)
        event = TemplateRemoved(template=name, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, means.writer, [event], means.clock.now())

    means.store.write(work)
