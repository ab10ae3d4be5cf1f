"""What the egress says of an error to a gateway."""

from __future__ import annotations

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.core.tool.slot import Leaks
from taskbound.sdk.client import RefusedByDaemonError
from taskbound.surfaces.egress.errors import PermitLapsedError, SecretMissingError, fault_without
from taskbound.wire.connection import Fault

SECRET = "an-open-secret-1"
"""Long enough to be looked for."""


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (PermitLapsedError("late"), "unavailable"),
        (SecretMissingError("empty"), "denied"),
        (
            RefusedByDaemonError(Fault(code="of-a-newer-daemon", message="later", family="unavailable")),
            "unavailable",
        ),
        (SecretMissingError(f"it said {SECRET}"), "unavailable"),
    ],
)
def test_fault_names_the_family_of_its_error(error: TaskboundError, family: str) -> None:
    assert fault_without(error, Leaks([SECRET])).family == family
