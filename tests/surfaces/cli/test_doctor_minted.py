from __future__ import annotations

from typing import Any

import msgspec
import pytest

from taskbound.surfaces.cli.doctor.broker import tell_minted
from taskbound.wire.target import KindRow, TargetRow
from taskbound.wire.tool import ServerSpec, UpstreamRow

TOOL = "orders-db__credential/reader"
SOURCE = "credential:orders-db/reader?tenant=acme"
READER = KindRow(
    name="reader", tool=TOOL, description="Reads.", seconds=600, effect="read", parameters=("tenant",)
)
CEILING: dict[str, Any] = {"helper": {"grants": [{"tool": TOOL, "others": "any"}]}}


def target(**changes: Any) -> TargetRow:
    plain: dict[str, Any] = {
        "name": "orders-db",
        "kind": "postgres",
        "where": msgspec.Raw(b"{}"),
        "owner": "ann",
        "approvers": (),
        "identity": "1",
        "state": "ready",
        "number": 1,
        "kinds": (READER,),
        "revocable": True,
    }
    return TargetRow(**plain | changes)


def server(*slots: str, agents: tuple[str, ...] = ()) -> UpstreamRow:
    some = slots or (f"environment:PGUSER={SOURCE}#PGUSER", f"environment:PGPASSWORD={SOURCE}#PGPASSWORD")
    spec = ServerSpec(name="clerk", command="/a", sha256="0" * 64, slots=tuple(sorted(some)))
    return UpstreamRow(spec=spec, identity="1", tools=1, changed=0, agents=agents)


def told(*targets: TargetRow, row: UpstreamRow | None = None, ceilings: Any = None) -> list[str]:
    """What is said, with what helps."""
    found = list(tell_minted([row or server()], targets, CEILING if ceilings is None else ceilings))
    assert {(level, name) for level, name, _, _ in found} <= {("warn", "minted-slot")}
    return [f"{text}; {advice}" for _, _, text, advice in found]


def test_of_a_server_that_lacks_nothing_and_of_one_that_no_credential_fills_nothing_is_said() -> None:
    assert told(target()) == []
    assert told(row=server("environment:TOKEN")) == []
    assert told(row=server("environment:TOKEN"), ceilings={"helper": {"grants": []}}) == []


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        ((), "no target is named `orders-db`; add it with `taskbound target add`"),
        ((target(name="other"),), "no target is named `orders-db`"),
        ((target(state="untested"),), "the target `orders-db` is not ready (untested)"),
        ((target(state="refused"),), "not ready (refused); test it with `taskbound target test orders-db`"),
        ((target(kinds=()),), "the target `orders-db` has no kind `reader`"),
        ((target(kinds=(msgspec.structs.replace(READER, parameters=()),)),), f"`{TOOL}` wants no parameters"),
        (
            (target(kinds=(msgspec.structs.replace(READER, parameters=("region", "tenant")),)),),
            f"`{TOOL}` wants region, tenant, and its slots say something else",
        ),
    ],
    ids=["no target", "another", "untested", "refused", "no kind", "no parameters", "more parameters"],
)
def test_what_a_target_lacks_is_said_once_for_all_slots_of_one_credential(
    targets: tuple[TargetRow, ...], why: str
) -> None:
    (one,) = told(*targets)
    assert one.startswith("server `clerk` is not started: ")
    assert why in one


def test_each_agent_whose_ceiling_has_no_grant_for_it_is_named_and_no_other_one() -> None:
    ceilings = {
        **CEILING,
        "coder": {"grants": [{"tool": "clerk__count", "others": "any"}]},
        "odd": "no scope",
    }
    found = told(target(), ceilings=ceilings)
    assert [one.split(": ")[0] for one in found] == [
        f"server `clerk` is not started for agent `{name}`" for name in ("coder", "odd")
    ]
    assert all(f"grant `{TOOL}` in its ceiling" in one for one in found)
    assert told(target(), row=server(agents=("helper",)), ceilings=ceilings) == []


def test_two_credentials_of_one_server_are_two_and_what_a_name_could_do_on_a_screen_is_not_done() -> None:
    row = server(f"environment:A={SOURCE}#A", "environment:B=credential:orders-db/reader?tenant=b#B")
    assert len(told(row=row)) == 2
    (one,) = told(target(), ceilings={"a\x1b[2Jb": {"grants": []}})
    assert "\x1b" not in one
