"""The models of dev/models, searched by Spin: every order of events, none left out by chance."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MODELS: Final = Path(__file__).parents[2] / "dev" / "models"
_DEPTH: Final = "-m10000"
_TABLE: Final = "-w22"
_GUARD: Final = re.compile(r"^#ifn?def NO_([A-Z]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search of all states found."""

    whole: bool
    """Whether all states were searched, each stored in full, and every line of the model was reached."""
    errors: int
    broken: str
    """The first property that was broken, in Spin's words."""
    states: int


def source(model: str) -> str:
    """The model's text without comments."""
    text = (MODELS / f"{model}.pml").read_text(encoding="ascii")
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def guards(model: str) -> frozenset[str]:
    """The guards that can be taken out of the model."""
    return frozenset(_GUARD.findall(source(model)))


def moves(model: str, word: str) -> frozenset[tuple[str, str, str]]:
    """State, event and next state of each move of the word in the model, in core's spelling."""
    found = re.findall(rf"\b{word}_move\((\w+), {word}_(\w+), {word}_(\w+)\)", source(model))
    return frozenset((_spelled(before), _spelled(event), _spelled(after)) for event, before, after in found)


def search(model: str, without: str = "") -> Search:
    """Search all states of the model, or of the model without a guard until a property breaks."""
    programs = [name for name in ("spin", "gcc") if shutil.which(name) is None]
    if programs:
        raise AssertionError(f"install {' and '.join(programs)}, as dev/test does on Debian")
    with tempfile.TemporaryDirectory(prefix="taskbound-spin-") as folder:
        out = [f"-DNO_{without}"] if without else []
        _run(folder, "spin", "-a", *out, str(MODELS / f"{model}.pml"))
        # -DSAFETY: assertions and deadlocks; no -DBITSTATE, no -DHC: a state is kept whole.
        _run(folder, "gcc", "-w", "-O0" if without else "-O2", "-DSAFETY", "-o", "pan", "pan.c")
        return _read(_run(folder, "./pan", _DEPTH, _TABLE))


def _run(folder: str, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}: {said}")
    return said


def _read(said: str) -> Search:
    errors, states = re.search(r"errors: (\d+)", said), re.search(r"(\d+) states, stored", said)
    broken = re.search(r"pan:1: (.*?) \(at depth", said)
    assert errors
    assert states
    full = "Full statespace search" in said and "truncated" not in said and "max search depth" not in said
    unreached = re.findall(r"\((\d+) of \d+ states\)", said)
    return Search(
        whole=full and len(unreached) > 1 and set(unreached) == {"0"},
        errors=int(errors[1]),
        broken=broken[1] if broken else "",
        states=int(states[1]),
    )


def _spelled(name: str) -> str:
    return name.replace("_", "-")
