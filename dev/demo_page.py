"""Writes the output of `taskbound demo` into the guide and the reference page: `python -m dev.demo_page`."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from taskbound.surfaces.cli.demo.scene import DemoReport, Page

ROOT: Final = Path(__file__).resolve().parents[1]
_BEGIN: Final = "```console\n"
_END: Final = "```\n"
_LABEL: Final = slice(3, 12)
_TEXT: Final = 13
# What is another in every run, or on every machine.
_CHANGING: Final = (
    (re.compile(r"/[\w./-]*taskbound-demo-\w+"), "PLACE"),
    (re.compile(r"(act|apr|key|tsk)_[a-z2-7]{35}"), r"\1_ID"),
    (re.compile(r"SHA256:[A-Za-z0-9+/]{43}"), "FINGERPRINT"),
    (re.compile(r"[0-9a-f]{12,}"), "HEX"),
)
_DIGITS: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_CALLS: Final = frozenset({"tries", "permit", "repeat", "withheld"})


def run_demo() -> DemoReport:
    """What a run of the demo reports."""
    done = subprocess.run(
        [sys.executable, "-m", "taskbound.wiring.cli", "demo", "--json"],
        capture_output=True,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=DemoReport)


def render(report: DemoReport) -> str:
    """What that run would have printed without `--json`, 80 columns wide."""
    os.environ["COLUMNS"] = "80"
    printed = io.StringIO()
    page = Page(silent=False, out=printed)
    page.title()
    for step in report.steps:
        page.step(step.number, step.title)
        for line in step.lines:
            page.line(line.label, line.text)
    page.closing(report.summary, ok=report.ok)
    return printed.getvalue()


def shown_by_page(report: DemoReport) -> dict[str, str]:
    """What each page shows of that run: the guide step 4, the reference page all of it."""
    printed = render(report)
    _, _, after = printed.partition("\n4  ")
    step, _, _ = after.partition("\n5  ")
    return {"docs/guides/demo.md": f"4  {step}", "docs/reference/demo.md": f"$ taskbound demo\n{printed}"}


def printed_in(text: str) -> str:
    """The output that stands in the page's text."""
    return text.split(_BEGIN, 1)[1].split(_END, 1)[0]


def likeness(printed: str) -> list[str]:
    """The rows of an output without what changes from run to run, and without line breaks."""
    rows: list[tuple[str, str]] = []
    for line in printed.splitlines():
        if line.startswith(" " * _TEXT) and rows:
            rows[-1] = (rows[-1][0], rows[-1][1] + line)
        else:
            labelled = line.startswith("   ")
            rows.append((line[_LABEL].strip() if labelled else "", line))
    return [_alike(label, "".join(line.split())) for label, line in rows]


def _alike(label: str, text: str) -> str:
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    if label in _CALLS or (label == "refuse" and "record" not in text):
        return text
    return _DIGITS.sub("N", text)


def main() -> None:
    """Write both pages anew."""
    for name, shown in shown_by_page(run_demo()).items():
        page = ROOT / name
        before, rest = page.read_text(encoding="utf-8").split(_BEGIN, 1)
        _, after = rest.split(_END, 1)
        page.write_text(f"{before}{_BEGIN}{shown}{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
