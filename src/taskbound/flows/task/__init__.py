"""Tasks: start, delegate, pause, resume, change, end; and the task of a connection."""

from __future__ import annotations

from taskbound.flows.task.binding import bind, follow, keep_account, nearest_run, orphaned_runs, register_run
from taskbound.flows.task.cascade import Watch, claim, claim_task
from taskbound.flows.task.change import Changes
from taskbound.flows.task.delegate import ChildOrder, Delegations, drop_template, save_template
from taskbound.flows.task.evidence import add_issuer, drop_issuer, look_again
from taskbound.flows.task.life import TaskOrder, Tasks
from taskbound.flows.task.widen import AmendmentOrder, AmendmentUpdate, Widenings

__all__ = [
    "AmendmentOrder",
    "AmendmentUpdate",
    "Changes",
    "ChildOrder",
    "Delegations",
    "TaskOrder",
    "Tasks",
    "Watch",
    "Widenings",
    "add_issuer",
    "bind",
    "claim",
    "claim_task",
    "drop_issuer",
    "drop_template",
    "follow",
    "keep_account",
    "look_again",
    "nearest_run",
    "orphaned_runs",
    "register_run",
    "save_template",
]
