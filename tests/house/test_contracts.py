from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

ROOMS = ["core", "ports", "wire", "flows", "sdk", "surfaces", "adapters", "wiring"]
ROOMS += [
    f"surfaces/{one}" for one in ("api", "broker", "cli", "egress", "gateway", "http", "network", "proxied")
]
ROOMS += [f"sdk/{one}" for one in ("guard", "verify")]
ROOMS += [f"adapters/{one}" for one in ("jose", "keys", "policy", "store", "targets", "upstream")]

# contract, module that breaks it, the import
PLANTED = [
    ("Dependencies point inward", "core/x.py", "import taskbound.ports"),
    ("Dependencies point inward", "ports/x.py", "import taskbound.flows"),
    ("Dependencies point inward", "wire/x.py", "import taskbound.ports"),
    ("Dependencies point inward", "flows/x.py", "import taskbound.adapters.store"),
    ("Dependencies point inward", "sdk/x.py", "import taskbound.flows"),
    ("Dependencies point inward", "surfaces/x.py", "import taskbound.wiring"),
    ("Core is pure", "core/x.py", "import time"),
    ("Core is pure", "core/x.py", "import os.path"),
    ("Core is pure", "core/x.py", "def f():\n    import msgspec"),
    ("What is on the wire is read without", "wire/x.py", "import joserfc"),
    ("What is on the wire is read without", "wire/x.py", "def f():\n    import cryptography"),
    ("Surfaces are given what they need", "surfaces/cli/x.py", "import taskbound.adapters.upstream"),
    ("The process that faces agents", "wiring/gateway.py", "import taskbound.adapters.store"),
    ("The process that faces agents", "wiring/gateway.py", "import taskbound.wiring.daemon"),
    ("The process that faces agents", "wiring/gateway.py", "import taskbound.adapters.targets.redis"),
    ("The process that faces agents", "wiring/front.py", "import taskbound.adapters.store"),
    ("The process that faces agents", "wiring/reach.py", "import taskbound.adapters.keys"),
    ("The process that faces agents", "surfaces/gateway/x.py", "import sqlalchemy"),
    ("The process that faces agents", "surfaces/gateway/x.py", "import taskbound.adapters.jose"),
    ("The process that faces the network", "wiring/api.py", "import taskbound.adapters.store"),
    ("The process that faces the network", "wiring/api.py", "import taskbound.wiring.daemon"),
    ("The process that faces the network", "surfaces/network/x.py", "import taskbound.flows"),
    ("The process that faces the network", "surfaces/http/x.py", "import cryptography"),
    ("The gateway and the command line are clients", "surfaces/cli/x.py", "import taskbound.flows"),
    ("The SDK carries no server code", "sdk/x.py", "import taskbound.surfaces"),
    ("The SDK carries no server code", "sdk/x.py", "import sqlalchemy"),
    ("A framework is loaded by its own adapter", "sdk/x.py", "import langchain_core"),
    ("A framework is loaded by its own adapter", "wiring/x.py", "def f():\n    import pydantic_ai"),
    ("Only what stands before a server of MCP", "sdk/verify/calls.py", "import mcp"),
    ("Only what stands before a server of MCP", "wiring/guarding.py", "import pydantic"),
    ("A service that verifies", "wiring/guarding.py", "import sqlalchemy"),
    ("A service that verifies", "wiring/guarding.py", "import taskbound.adapters.store"),
    ("A service that asks its issuer", "wiring/service.py", "import taskbound.flows"),
    ("A service that asks its issuer", "wiring/service.py", "import sqlalchemy"),
    ("No surface knows another", "surfaces/cli/x.py", "import taskbound.surfaces.api"),
    ("No surface knows another", "surfaces/http/x.py", "import taskbound.surfaces.gateway"),
    ("The process that proxies ask", "wiring/proxied.py", "import taskbound.adapters.store"),
    ("The process that proxies ask", "wiring/proxied.py", "import taskbound.flows"),
    ("The process that proxies ask", "surfaces/proxied/x.py", "import sqlalchemy"),
    (
        "Only the broker's process reaches targets",
        "wiring/daemon.py",
        "import taskbound.adapters.targets.redis",
    ),
    ("Only the broker's process reaches targets", "wiring/daemon.py", "import taskbound.wiring.broker"),
    (
        "Only the broker's process reaches targets",
        "surfaces/broker/x.py",
        "import taskbound.adapters.targets",
    ),
    ("No role of adapters knows another", "adapters/policy/x.py", "import taskbound.adapters.keys"),
]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    shutil.copy(ROOT / "pyproject.toml", root)
    for room in ["", *ROOMS]:
        (root / "src/taskbound" / room).mkdir(parents=True, exist_ok=True)
        (root / "src/taskbound" / room / "__init__.py").touch()
    (root / "src/taskbound/adapters/targets/redis.py").touch()
    for module in (
        "client",
        "feed",
        *(f"verify/{one}" for one in ("asgi", "calls", "function", "verifier", "wsgi")),
    ):
        (root / f"src/taskbound/sdk/{module}.py").touch()
    (root / "src/taskbound/wiring/daemon.py").write_text("import taskbound.adapters.keys\n")
    for process in (
        "api",
        "broker",
        "front",
        "gateway",
        "guarding",
        "proxied",
        "reach",
        "service",
        "starters",
    ):
        (root / f"src/taskbound/wiring/{process}.py").touch()
    shutil.copy(ROOT / "src/taskbound/core/ruff.toml", root / "src/taskbound/core")
    return root


def lint(root: Path) -> str:
    script = (
        "import sys; sys.path[:0] = ['src']; from importlinter.cli import lint_imports_command as run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_a_tree_of_empty_rooms_keeps_every_contract(toy: Path) -> None:
    assert "16 kept, 0 broken" in lint(toy)


@pytest.mark.parametrize(("contract", "module", "statement"), PLANTED)
def test_each_import_contract_finds_what_breaks_it(
    toy: Path, contract: str, module: str, statement: str
) -> None:
    path = toy / "src/taskbound" / module
    before = path.read_text() if path.exists() else None
    path.write_text(f"{statement}\n")
    try:
        lines = [line for line in lint(toy).splitlines() if line.endswith(" BROKEN")]
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert any(line.startswith(contract) for line in lines), lines


@pytest.mark.parametrize("call", ["datetime.datetime.now(tz=datetime.UTC)", "datetime.date.today()"])
def test_a_clock_is_banned_in_core_and_nowhere_else(toy: Path, call: str) -> None:
    text = f'"""X."""\n\nimport datetime\n\nX = {call}\n'
    (toy / "src/taskbound/core/clock.py").write_text(text)
    (toy / "src/taskbound/flows/clock.py").write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--no-cache",
            "--select",
            "TID251",
            "--output-format",
            "concise",
            "src",
        ],
        cwd=toy,
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line.split(":")[0] for line in done.stdout.splitlines() if "TID251" in line]
    (toy / "src/taskbound/core/clock.py").unlink()
    (toy / "src/taskbound/flows/clock.py").unlink()
    assert told == ["src/taskbound/core/clock.py"]
