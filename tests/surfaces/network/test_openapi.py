from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it ships no types

from dev.reference import NETWORK, OPENAPI, ORIGIN, ROOT, network_page, openapi_page
from taskbound.surfaces.network.openapi import describe
from taskbound.wire.routes import ROUTES

DESCRIBED: dict[str, Any] = json.loads(describe(ORIGIN))


@pytest.mark.parametrize(("name", "page"), [(NETWORK, network_page), (OPENAPI, openapi_page)])
def test_the_pages_of_the_api_are_what_the_code_says(name: str, page: Callable[[], str]) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == page(), f"{name} is old: run dev/docs"


def test_every_route_is_described_and_nothing_else_is() -> None:
    described = {
        (verb.upper(), path, one["x-taskbound-operation"])
        for path, verbs in DESCRIBED["paths"].items()
        for verb, one in verbs.items()
    }
    assert described == {(one.verb, one.path, f"api:{one.operation}") for one in ROUTES}


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    text = json.dumps(DESCRIBED)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        found: Any = DESCRIBED
        for part in reference.split("/"):
            found = found[part]
    for one in DESCRIBED["components"]["schemas"].values():
        Draft202012Validator.check_schema(one)


def test_no_body_says_what_the_path_says_and_none_has_an_op() -> None:
    for path, verbs in DESCRIBED["paths"].items():
        named = set(re.findall(r"\{([a-z_]+)\}", path))
        for one in verbs.values():
            assert {each["name"] for each in one.get("parameters", []) if each["in"] == "path"} == named
            body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            assert not (named | {"op"}) & set(body.get("properties", {}))
            assert body.get("additionalProperties", False) is False
