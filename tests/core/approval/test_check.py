from __future__ import annotations

import pytest

from taskbound.core.approval import (
    BadProbeError,
    Operand,
    OperandOutsideError,
    OperandUnreadableError,
    ProbeKind,
)
from taskbound.core.approval.probe import NO_ROW, Shown, parse_checks, settled_at, shown_by
from taskbound.core.clock import Instant

ROW = "row:sqlite:/srv/ledger.db?table=payments&key=id"


def test_checks_are_read_in_order_and_written_in_one_way() -> None:
    checks = parse_checks([f"90:to={ROW}", f"60:invoice={ROW}"])
    assert [(one.seconds, one.probe.argument) for one in checks] == [(60, "invoice"), (90, "to")]
    assert [one.text for one in checks] == [f"60:invoice={ROW}", f"90:to={ROW}"]
    assert settled_at(checks, Instant(5)) == Instant(90_000_005)
    assert parse_checks([]) == ()


@pytest.mark.parametrize(
    "texts",
    [
        [f"invoice={ROW}"],
        [f"29:invoice={ROW}"],
        [f"86401:invoice={ROW}"],
        [f"060:invoice={ROW}"],
        [f"+60:invoice={ROW}"],
        [f"60.5:invoice={ROW}"],
        [f"٦٠:invoice={ROW}"],
        [f" 60:invoice={ROW}"],
        ["60:"],
        ["60:invoice=file:/srv"],
        ["60:invoice=etag:https://api.example.com/v1/"],
        ["60:branch=revision:/srv/repo"],
        [f"60:invoice={ROW}", f"90:invoice={ROW}"],
        [f"60:invoice={ROW}&x=1"],
    ],
)
def test_what_is_no_check_is_refused(texts: list[str]) -> None:
    with pytest.raises(BadProbeError):
        parse_checks(texts)


def found(version: str) -> Operand:
    said = {"key": "k", "row": "r", "table": "t", "version": version}
    return Operand(place="/id", kind=ProbeKind.ROW, found=tuple(sorted(said.items())))


BLIND = OperandUnreadableError("it could not be read")


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        ((found(NO_ROW),), Shown.ABSENT),
        ((found(NO_ROW), found(NO_ROW)), Shown.ABSENT),
        ((found(NO_ROW), found('integer "1"')), Shown.PRESENT),
        ((found('text "no such row"'),), Shown.PRESENT),
        ((BLIND,), Shown.UNREADABLE),
        ((found(NO_ROW), BLIND), Shown.UNREADABLE),
        ((OperandOutsideError("elsewhere"), found('integer "1"')), Shown.UNREADABLE),
        ((), Shown.UNREADABLE),
    ],
)
def test_only_nothing_that_was_looked_for_everywhere_shows_that_there_is_no_effect(
    seen: tuple[Operand | OperandUnreadableError, ...], shown: Shown
) -> None:
    assert shown_by(seen) is shown
