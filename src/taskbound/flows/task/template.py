"""Keeping scopes and lifetimes under names, to make tasks of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit import TemplateRemoved, TemplateSaved
from taskbound.core.errors import DeniedError
from taskbound.core.identity import parse_name
from taskbound.core.task import parse_lifetime
from taskbound.core.task.heartbeat import parse_heartbeat

if TYPE_CHECKING:
    from taskbound.core.task import Template
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


class UnknownTemplateError(DeniedError):
    """No template has this name."""

    code = "unknown-template"
    remedy = "list them with `taskbound template list`"


def save_template(means: Means, order: Template, actor: Actor) -> Template:
    """Keep this under its name, over what that held before; its version is the next one.

    Raises:
        MalformedError: The name, the lifetime or the heartbeat can't be.
    """
    parse_name(order.name, what="a template")
    parse_lifetime(order.seconds)
    parse_heartbeat(order.heartbeat, order.grace)

    def work(tx: Transaction) -> Template:
        known = tx.tasks.template(order.namespace, order.name)
        before = known.version if known else 0
        template = replace(order, version=before + 1)
        tx.tasks.put_template(template, expect=before)
        event = TemplateSaved(
            template=template.name,
            scope=template.scope.digest,
            seconds=template.seconds,
            by=actor.name,
            proof=actor.proof,
            heartbeat=template.heartbeat,
            grace=template.grace,
            holds=template.holds.value,
        )
        tx.audit.append(order.namespace, means.writer, [event], means.clock.now())
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
