"""Prints what each house rule finds in the tree, as JSON: rule to findings."""

from __future__ import annotations

import dataclasses
import json
import sys

from tests.house.rules import RULES
from tests.house.tree import ROOT

if __name__ == "__main__":
    found = {name: [dataclasses.asdict(one) for one in rule(ROOT)] for name, rule in RULES.items()}
    json.dump(found, sys.stdout)
