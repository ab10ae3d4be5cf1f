"""One event of each kind, with every field filled, and with only what must be there."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING

from taskbound.core.audit import EVENTS, ActionDecided, Event

if TYPE_CHECKING:
    from collections.abc import Callable

FILLED: dict[str, object] = {"str": "text", "int": 7, "bool": True, "tuple[str, ...]": ("one", "two")}


def full(kind: str) -> Event:
    make: Callable[..., Event] = EVENTS[kind]
    return make(
        **{
            one.name: f"{one.name} of it" if one.type == "str" else FILLED[str(one.type)]
            for one in fields(EVENTS[kind])
        }
    )


def least(kind: str) -> Event:
    make: Callable[..., Event] = EVENTS[kind]
    return make(**{one.name: FILLED[str(one.type)] for one in fields(EVENTS[kind]) if one.default is MISSING})


def decided(number: int, **changes: object) -> ActionDecided:
    """A decision as it is written in practice."""
    digest = f"{number:064x}"
    usual: dict[str, object] = {
        "action": f"act_{number:026d}",
        "task": "tsk_" + "b" * 26,
        "agent": "coder",
        "tool": "git__git_log",
        "server": "5e" * 32,
        "definition": "de" * 32,
        "digest": digest,
        "act_key": "ac" * 32,
        "decision": "permit",
        "reasons": (),
        "grant": "g0",
        "policies": ("base-permit",),
        "bundle": "b0" * 32,
        "scope": "5c" * 32,
        "attempt": 1,
        "charges": ("g0/uses=1",),
        "proof": "peer-uid:1000 (unproven)",
        "epoch": 3,
        "connection": "con_" + "c" * 26,
    }
    make: Callable[..., ActionDecided] = ActionDecided
    return make(**{**usual, **changes})
