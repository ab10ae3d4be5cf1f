from __future__ import annotations

import msgspec
import pytest

from taskbound.core.tool import BadServerError
from taskbound.wire.tool import ServerSpec, identity_of

SPEC = ServerSpec(name="git", command="/venv/bin/python", sha256="0" * 64)


def test_a_spec_without_links_is_resolved_to_itself() -> None:
    one = identity_of(SPEC, namespace="default")
    assert one.resolved == one.command
    assert (
        identity_of(msgspec.structs.replace(SPEC, resolved=SPEC.command), namespace="default").digest
        == one.digest
    )


@pytest.mark.parametrize(
    "change",
    [
        {"command": "/venv/bin/python3"},
        {"sha256": "1" * 64},
        {"resolved": "/usr/bin/python3"},
        {"files": (("/srv/a.py", "2" * 64),)},
        {"arguments": ("-m", "x")},
        {"environment": (("A", "1"),)},
        {"directory": "/srv"},
        {"lock": "uvx: x==1"},
    ],
)
def test_a170_whatever_decides_what_runs_is_in_the_digest(change: dict[str, object]) -> None:
    changed = msgspec.structs.replace(SPEC, **change)
    assert identity_of(changed, namespace="default").digest != identity_of(SPEC, namespace="default").digest
    assert identity_of(SPEC, namespace="other").digest != identity_of(SPEC, namespace="default").digest


@pytest.mark.parametrize("change", [{"name": "other"}, {"era": "2026-07-28"}, {"shareable": True}])
def test_how_a_server_is_spoken_to_is_not_what_it_is(change: dict[str, object]) -> None:
    changed = msgspec.structs.replace(SPEC, **change)
    assert identity_of(changed, namespace="default").digest == identity_of(SPEC, namespace="default").digest


def test_a_spec_that_is_not_written_out_has_no_identity() -> None:
    with pytest.raises(BadServerError):
        identity_of(msgspec.structs.replace(SPEC, command="python"), namespace="default")
