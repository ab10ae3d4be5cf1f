"""Prints what each house rule finds in the tree, as JSON: rule to findings."""

from __future__ import annotations

import dataclasses
import gc
import json
import sys

from tests.house.rules import RULES
from tests.house.tree import ROOT

if __name__ == "__main__":
    gc.disable()  # millions of nodes are kept to the end: half the time went into looking through them
    found = {name: [dataclasses.asdict(one) for one in rule(ROOT)] for name, rule in RULES.items()}
    json.dump(found, sys.stdout)
