from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dev import operations
from dev.reference import (
    ERRORS,
    GATEWAY_MODULES,
    ROOT,
    all_errors,
    errors_page,
    gateway_modules_page,
    load_all,
)
from taskbound.surfaces.gateway.errors import RPC_CODES
from taskbound.surfaces.http.errors import STATUSES
from tests.house import faults, loading
from tests.house.rules import RULES
from tests.house.tree import Finding, idle, read_exemptions, remaining

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLE = "tests/house/exemptions.toml"


@functools.cache
def found() -> dict[str, list[Finding]]:
    """What each rule finds in the tree; a process of its own looks, because the syntax trees take 900 MB."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.house"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return {rule: [Finding(**one) for one in ones] for rule, ones in json.loads(ran.stdout).items()}


def require_none(findings: Iterable[Finding]) -> None:
    broken = remaining(findings, read_exemptions())
    if broken:
        lines = "\n".join(str(one) for one in broken)
        pytest.fail(f"{lines}\n(an exemption needs a row with its reason in {TABLE})", pytrace=False)


@pytest.mark.timeout(600)  # the first of these waits for the process that looks through the whole tree
@pytest.mark.parametrize("rule", RULES)
def test_the_tree_keeps_each_house_rule(rule: str) -> None:
    require_none(found()[rule])


def test_every_error_has_a_code_of_its_own() -> None:
    load_all()
    require_none(faults.codes_are_unique(all_errors()))


def test_every_error_has_a_family() -> None:
    load_all()
    require_none(faults.families_are_known(all_errors()))


def test_statuses_beside_the_families_are_those_of_known_codes() -> None:
    load_all()
    assert {*RPC_CODES, *STATUSES} <= {one.code for one in all_errors()}


@pytest.mark.timeout(600)  # as above, where it runs alone
def test_every_exemption_is_used_and_says_why() -> None:
    load_all()
    findings = [one for rule in RULES for one in found()[rule]]
    findings += faults.codes_are_unique(all_errors())
    assert idle(findings, read_exemptions()) == []


def test_the_page_of_errors_is_what_the_code_says() -> None:
    load_all()
    page = (ROOT / ERRORS).read_text(encoding="utf-8")
    assert page == errors_page(all_errors()), f"{ERRORS} is old: run dev/docs"


def test_the_page_of_operations_is_what_their_table_says() -> None:
    page = (ROOT / operations.PAGE).read_text(encoding="utf-8")
    assert page == operations.operations_page(), f"{operations.PAGE} is old: run dev/docs"


def test_the_list_of_what_the_process_that_faces_agents_loads_is_current() -> None:
    listed, written = ROOT / GATEWAY_MODULES, ROOT / "src/taskbound/wiring/gateway.py"
    assert listed.exists() == written.exists(), "run dev/docs: it lists what the gateway's process loads"
    if written.exists():
        page = listed.read_text(encoding="utf-8")
        assert page == gateway_modules_page(), (
            f"the process that faces agents loads other modules than {GATEWAY_MODULES} says: "
            "if each of them belongs into it, run dev/docs; if not, import less"
        )


def test_f43_importing_any_module_does_no_work_and_warns_of_nothing() -> None:
    script = [sys.executable, "-W", "error", loading.__file__, "taskbound", *load_all()]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    deeds = json.loads(done.stdout)
    assert deeds == [], "do this in a function that wiring calls, not at import:\n" + "\n".join(deeds)
