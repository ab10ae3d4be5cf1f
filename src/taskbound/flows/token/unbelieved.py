"""A subject token that is worth nothing to who shows it: refused, and recorded."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.errors import DeniedError, MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskbound.core.errors import TaskboundError
    from taskbound.core.identity.proof import Principal

    Unbelieved: TypeAlias = Callable[[str, str, str, TaskboundError], None]
    """Records what is shown and worth nothing (`flows.identity.Proofs.refuse`)."""


@contextmanager
def told_of(unbelieved: Unbelieved, principal: Principal, subject: str) -> Iterator[None]:
    """Have it recorded where the subject token is refused meanwhile; nothing is recorded of none."""
    try:
        yield
    except (DeniedError, MalformedError) as error:
        if subject:
            unbelieved(principal.namespace, "token", subject, error)
        raise
