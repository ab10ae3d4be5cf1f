"""Pairs of which a person sees at once that the one is within the other.

Written as Python values, and short: an argument's rule stands for a grant that constrains ``p`` with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


RULES: Final[tuple[tuple[dict[str, Any], tuple[dict[str, Any], ...]], ...]] = (
    (
        {"any": True},
        (
            {"any": True},
            {"equals": None},
            {"one_of": [1, "a"]},
            {"range": {"min": 1}},
            {"prefix": "a"},
            {"below": "/d"},
            {"glob": "*.py"},
            {"length": {"max": 3}},
            {"each": {"any": True}},
            {"not_one_of": ["a"]},
            {"cidr": ["10.0.0.0/8"]},
            {"email": {"domains": ["a.example"]}},
            {"host": ["a.example"]},
            {"url": {"names": ["a.example"]}},
            {"date_time": {"min": "2026-01-01"}},
        ),
    ),
    (
        {"one_of": ["acme", "bob", 5]},
        (
            {"equals": "acme"},
            {"equals": 5},
            {"one_of": ["bob", "acme"]},
            {"one_of": [5.0, "bob"]},
            {"any_of": [{"equals": "acme"}, {"equals": "bob"}]},
            {"all_of": [{"one_of": ["acme", "eve"]}, {"not_one_of": ["eve"]}]},
        ),
    ),
    (
        {"not_one_of": ["root", "admin"]},
        (
            {"equals": "alice"},
            {"one_of": ["alice", "bob"]},
            {"not_one_of": ["admin", "root", "eve"]},
            {"range": {"min": 0}},
            {"equals": 7},
            {"equals": None},
        ),
    ),
    (
        {"range": {"min": 0, "max": 100}},
        (
            {"equals": 0},
            {"equals": 100},
            {"equals": 99.99},
            {"one_of": [1, 2, 3]},
            {"range": {"min": 0, "max": 100}},
            {"range": {"min": 0.5, "max": 99}},
            {"range": {"min": 100, "max": 100}},
            {"any_of": [{"range": {"min": 1, "max": 2}}, {"range": {"min": 50, "max": 60}}]},
            {"all_of": [{"range": {"min": 1}}, {"range": {"max": 9}}]},
            {"all_of": [{"range": {"min": 1, "max": 9}}, {"not_one_of": [5]}]},
        ),
    ),
    ({"range": {"min": 0}}, ({"range": {"min": 1}}, {"range": {"min": 0, "max": 5}}, {"equals": 10**15})),
    ({"range": {"max": 0}}, ({"range": {"max": -1}}, {"range": {"min": -5, "max": 0}}, {"equals": -0.5})),
    (
        {"date_time": {"min": "2026-01-01T00:00:00Z", "max": "2026-12-31T23:59:59Z"}},
        (
            {"date_time": {"min": "2026-02-01T00:00:00Z", "max": "2026-03-01T00:00:00Z"}},
            {"date_time": {"min": "2026-01-01T01:00:00+01:00", "max": "2026-03-01T00:00:00Z"}},
            {"equals": "2026-06-01T12:00:00Z"},
            {"equals": "2026-01-01T00:00:00Z"},
            {"one_of": ["2026-06-01T12:00:00Z", "2026-06-02T12:00:00+02:00"]},
        ),
    ),
    (
        {"date_time": {"min": "2026-01-01", "max": "2026-12-31"}},
        ({"equals": "2026-02-03"}, {"date_time": {"min": "2026-02-01", "max": "2026-02-28"}}),
    ),
    (
        {"prefix": "release-"},
        (
            {"prefix": "release-1"},
            {"equals": "release-7"},
            {"one_of": ["release-1", "release-2"]},
            {"prefix": "release-"},
            {"glob": "release-*"},
            {"glob": "release-[0-9]"},
            {"all_of": [{"prefix": "release-"}, {"length": {"max": 12}}]},
        ),
    ),
    (
        {"below": "/srv/data"},
        (
            {"below": "/srv/data"},
            {"below": "/srv/data/in"},
            {"equals": "/srv/data"},
            {"equals": "/srv/data/a.txt"},
            {"one_of": ["/srv/data/a", "/srv/data/b/c"]},
            {"equals": "/srv/data/b/../a"},
            {"any_of": [{"below": "/srv/data/in"}, {"below": "/srv/data/out"}]},
            {"all_of": [{"below": "/srv/data"}, {"not_one_of": ["/srv/data/secret"]}]},
        ),
    ),
    ({"below": "/"}, ({"below": "/etc"}, {"below": "/"}, {"equals": "/opt/x"})),
    (
        {"glob": "src/**"},
        (
            {"glob": "src/*.py"},
            {"glob": "src/a/*"},
            {"equals": "src/a.py"},
            {"one_of": ["src/a", "src/b/c"]},
            {"glob": "src/**"},
            {"glob": "src/?"},
        ),
    ),
    ({"glob": "*.py"}, ({"equals": "a.py"}, {"glob": "a*.py"}, {"glob": "?.py"}, {"glob": "[ab].py"})),
    ({"glob": "[a-z]"}, ({"glob": "[b-d]"}, {"equals": "q"}, {"one_of": ["a", "z"]})),
    (
        {"host": ["*.example.com", "example.org"]},
        (
            {"host": ["a.example.com"]},
            {"host": ["*.eu.example.com"]},
            {"host": ["example.org"]},
            {"host": ["a.example.com", "example.org"]},
            {"equals": "b.a.example.com"},
            {"host": ["*.example.com"]},
        ),
    ),
    (
        {"host": {"names": ["a.example"], "ip": ["10.0.0.0/8"]}},
        ({"host": ["a.example"]}, {"host": {"ip": ["10.1.0.0/16"]}}, {"equals": "10.2.3.4"}),
    ),
    (
        {"url": {"names": ["*.example.com"], "path": "/v1", "schemes": ["https"]}},
        (
            {"url": {"names": ["api.example.com"], "path": "/v1"}},
            {"url": {"names": ["api.example.com"], "path": "/v1/users"}},
            {"url": {"names": ["*.eu.example.com"], "path": "/v1"}},
            {"equals": "https://api.example.com/v1/x"},
            {"url": {"names": ["*.example.com"], "path": "/v1", "ports": [443]}},
        ),
    ),
    (
        {"url": {"names": ["a.example"], "schemes": ["http", "https"], "ports": [80, 443, 8443]}},
        (
            {"url": {"names": ["a.example"]}},
            {"url": {"names": ["a.example"], "schemes": ["http"]}},
            {"url": {"names": ["a.example"], "ports": [8443]}},
            {"equals": "https://a.example:8443/x"},
        ),
    ),
    (
        {"email": {"addresses": ["bob@b.example"], "domains": ["a.example"]}},
        (
            {"email": {"addresses": ["bob@b.example"]}},
            {"email": {"domains": ["a.example"]}},
            {"email": {"addresses": ["eve@a.example"]}},
            {"equals": "eve@a.example"},
            {"one_of": ["bob@b.example", "x@a.example"]},
            {"email": {"addresses": ["eve@a.example", "bob@b.example"]}},
        ),
    ),
    (
        {"cidr": ["10.0.0.0/8", "fd00::/8"]},
        (
            {"cidr": ["10.1.0.0/16"]},
            {"cidr": ["10.0.0.0/8"]},
            {"cidr": ["fd00:1::/32"]},
            {"equals": "10.1.2.3"},
            {"equals": "10.1.0.0/24"},
            {"cidr": ["10.1.0.0/16", "fd00::/16"]},
            {"one_of": ["10.0.0.1", "fd00::1"]},
        ),
    ),
    (
        {"length": {"max": 10}},
        (
            {"length": {"max": 5}},
            {"length": {"min": 1, "max": 10}},
            {"equals": "short"},
            {"equals": [1, 2]},
            {"one_of": ["a", "ab"]},
            {"length": {"max": 10}},
        ),
    ),
    ({"length": {"min": 2}}, ({"length": {"min": 3}}, {"equals": "ab"}, {"length": {"min": 2, "max": 2}})),
    (
        {"each": {"one_of": ["a", "b", "c"]}},
        (
            {"each": {"equals": "a"}},
            {"each": {"one_of": ["b", "c"]}},
            {"equals": ["a", "b"]},
            {"equals": []},
            {"one_of": [["a"], ["a", "c"]]},
            {"all_of": [{"each": {"one_of": ["a", "b"]}}, {"length": {"max": 2}}]},
        ),
    ),
    ({"each": {"range": {"max": 9}}}, ({"each": {"range": {"max": 5}}}, {"each": {"equals": 3}})),
    ({"each": {"below": "/d"}}, ({"each": {"below": "/d/e"}}, {"equals": ["/d/a", "/d/b"]})),
    (
        {"contains": {"prefix": "a"}},
        ({"contains": {"equals": "ab"}}, {"contains": {"prefix": "ab"}}, {"equals": ["x", "ab"]}),
    ),
    (
        {"any_of": [{"range": {"max": 10}}, {"equals": "all"}]},
        (
            {"range": {"max": 10}},
            {"equals": "all"},
            {"range": {"max": 3}},
            {"equals": 4},
            {"any_of": [{"equals": "all"}, {"range": {"max": 2}}]},
            {"one_of": ["all", 1, 2]},
        ),
    ),
    (
        {"range": {"min": -1, "max": 1}},
        (
            {"equals": 0.25},
            {"one_of": [-1, 0, 1]},
            {"range": {"min": 0, "max": 1}},
            {"range": {"min": -0.5, "max": 0}},
        ),
    ),
    (
        {"each": {"email": {"domains": ["a.example"]}}},
        ({"each": {"equals": "x@a.example"}}, {"equals": ["y@a.example"]}),
    ),
    ({"equals": {"k": [1, 2]}}, ({"equals": {"k": [1.0, 2]}}, {"one_of": [{"k": [1, 2]}]})),
    (
        {"any_of": [{"below": "/a"}, {"below": "/b"}]},
        ({"below": "/a/x"}, {"below": "/b"}, {"any_of": [{"below": "/a/1"}, {"below": "/b/2"}]}),
    ),
    (
        {"all_of": [{"prefix": "a"}, {"length": {"max": 5}}]},
        (
            {"equals": "abc"},
            {"all_of": [{"length": {"max": 5}}, {"prefix": "a"}]},
            {"all_of": [{"prefix": "ab"}, {"length": {"max": 4}}]},
            {"one_of": ["a", "ab"]},
        ),
    ),
)  # fmt: skip - rows of a table, read side by side
"""Each wide rule, and narrow ones that are within it."""

_TWO: Final[dict[str, Any]] = {"p": {"any": True}, "q": {"range": {"max": 9}}}
_SUM: Final[dict[str, Any]] = {"p": {"range": {"min": 0}}}


def _grant(arguments: dict[str, Any] | None = None, **more: JsonValue) -> dict[str, Any]:
    return {"tool": "a__x", "arguments": arguments or {}, **more}


def _total(limit: int, exponent: int = 2) -> dict[str, Any]:
    return {"p": {"limit": limit, "exponent": exponent}}


_ANY: Final[dict[str, Any]] = {"p": {"any": True}}
_ONE: Final[dict[str, Any]] = {"p": {"equals": 1}}
_DEEP: Final[dict[str, Any]] = {"p.k": {"range": {"max": 9}}, "p.l": {"any": True}}

GRANTS: Final[tuple[tuple[str, list[dict[str, Any]], list[dict[str, Any]]], ...]] = (
    ("the same tool", [_grant()], [_grant()]),
    ("no arguments within others any", [_grant()], [_grant(others="any")]),
    ("some argument within others any", [_grant(_ONE)], [_grant(others="any")]),
    ("others any on both sides", [_grant(_ONE, others="any")], [_grant(_ANY, others="any")]),
    ("an argument left out that may be", [_grant()], [_grant(_ANY, optional=["p"])]),
    ("an argument given that may be left out", [_grant(_ANY)], [_grant(_ANY, optional=["p"])]),
    ("an optional one that is narrower", [_grant(_ONE, optional=["p"])], [_grant(_ANY, optional=["p"])]),
    ("one that must be left out", [_grant({"p": {"absent": True}}, optional=["p"])], [_grant()]),
    (
        "one that must be left out, of an optional one",
        [_grant({"p": {"absent": True}}, optional=["p"])],
        [_grant(_ONE, optional=["p"])],
    ),
    (
        "two arguments, one narrower",
        [_grant({"p": {"equals": 1}, "q": {"range": {"max": 9}}})],
        [_grant(_TWO)],
    ),
    ("two arguments, both narrower", [_grant({"p": {"equals": 1}, "q": {"equals": 2}})], [_grant(_TWO)]),
    ("fewer uses", [_grant(uses=1)], [_grant(uses=2)]),
    ("as many uses", [_grant(uses=2)], [_grant(uses=2)]),
    ("uses within any number", [_grant(uses=2)], [_grant()]),
    ("a smaller total", [_grant(_SUM, total=_total(50))], [_grant(_SUM, total=_total(100))]),
    ("the same total in other units", [_grant(_SUM, total=_total(1, 0))], [_grant(_SUM, total=_total(100))]),
    ("a total within none", [_grant(_SUM, total=_total(50))], [_grant(_SUM)]),
    (
        "known amounts within a total",
        [_grant({"p": {"equals": 2}}, uses=3)],
        [_grant(_SUM, total=_total(600))],
    ),
    (
        "a few known amounts within a total",
        [_grant({"p": {"one_of": [1, 2]}}, uses=3)],
        [_grant(_SUM, total=_total(600))],
    ),
    ("uses and total", [_grant(_SUM, uses=1, total=_total(5))], [_grant(_SUM, uses=2, total=_total(9))]),
    ("one of two grants", [_grant(_ONE)], [_grant(_ONE), {"tool": "b__y"}]),
    ("two tools", [{"tool": "b__y"}, _grant()], [_grant(), {"tool": "b__y"}]),
    ("two grants within one", [_grant(_ONE), _grant({"p": {"equals": 2}})], [_grant(_ANY)]),
    (
        "two grants that share uses",
        [_grant(_ONE, uses=1), _grant({"p": {"equals": 2}}, uses=1)],
        [_grant(_ANY, uses=2)],
    ),
    (
        "two values of two grants",
        [_grant({"p": {"one_of": [1, 2]}})],
        [_grant(_ONE), _grant({"p": {"equals": 2}})],
    ),
    (
        "three values of two grants",
        [_grant({"p": {"one_of": [1, 2, 3]}})],
        [_grant({"p": {"one_of": [1, 3]}}), _grant({"p": {"equals": 2}})],
    ),
    (
        "two alternatives of two grants",
        [_grant({"p": {"any_of": [{"below": "/a"}, {"below": "/b"}]}})],
        [_grant({"p": {"below": "/a"}}), _grant({"p": {"below": "/b"}})],
    ),
    (
        "values of two arguments, crossed",
        [_grant({"p": {"one_of": [1, 2]}, "q": {"one_of": [3, 4]}})],
        [
            _grant({"p": {"equals": 1}, "q": {"any": True}}),
            _grant({"p": {"equals": 2}, "q": {"range": {"max": 9}}}),
        ],
    ),
    (
        "a place is found for both",
        [_grant(_ONE, uses=2), _grant({"p": {"equals": 9}}, uses=2)],
        [_grant(_ANY, uses=2), _grant({"p": {"one_of": [1, 2]}}, uses=2)],
    ),
    ("a grant without limits is taken first", [_grant(_ONE)], [_grant(_ANY, uses=1), _grant(_ONE)]),
    ("deeper, the same", [_grant(_DEEP)], [_grant(_DEEP)]),
    ("deeper, narrower", [_grant({"p.k": {"equals": 3}, "p.l": {"equals": 1}})], [_grant(_DEEP)]),
    ("deeper, within the whole", [_grant(_DEEP)], [_grant(_ANY)]),
    ("a known object", [_grant({"p": {"equals": {"k": 1, "l": 2}}})], [_grant(_DEEP)]),
    ("deeper, optional within", [_grant({"p.k": {"equals": 3}})], [_grant(_DEEP, optional=["p.l"])]),
    (
        "one of two optional ones",
        [_grant(_ONE, optional=["p"])],
        [_grant({"p": {"any": True}, "q": {"any": True}}, optional=["p", "q"])],
    ),
    ("an object that is there", [_grant(_DEEP)], [_grant(_DEEP, optional=["p"])]),
    ("three levels", [_grant({"p.k.l": {"equals": 1}})], [_grant({"p.k.l": {"range": {"max": 1}}})]),
    ("three levels within two", [_grant({"p.k.l": {"equals": 1}})], [_grant({"p.k": {"any": True}})]),
    ("items", [_grant({"q[*]": {"equals": 1}})], [_grant({"q[*]": {"range": {"max": 5}}})]),
    ("items within any list", [_grant({"q[*]": {"equals": 1}})], [_grant({"q": {"any": True}})]),
    ("a known list", [_grant({"q": {"equals": [1, 2]}})], [_grant({"q[*]": {"range": {"max": 5}}})]),
    ("members of items", [_grant({"q[*].k": {"below": "/d/e"}})], [_grant({"q[*].k": {"below": "/d"}})]),
    (
        "members of items, one optional",
        [_grant({"q[*].k": {"below": "/d/e"}})],
        [_grant({"q[*].k": {"below": "/d"}, "q[*].l": {"any": True}}, optional=["q[*].l"])],
    ),
    ("any items", [_grant({"q[*].k": {"equals": 1}})], [_grant({"q[*]": {"any": True}})]),
    ("a quoted name", [_grant({'"a.b".c': {"equals": 1}})], [_grant({'"a.b".c': {"any": True}})]),
    (
        "uses across pieces are counted once",
        [_grant({"p": {"one_of": [1, 2]}}, uses=2)],
        [_grant(_ONE, uses=2), _grant({"p": {"equals": 2}}, uses=2)],
    ),
    ("a thousandth", [_grant(_SUM, total=_total(1, 0))], [_grant(_SUM, total=_total(1000, 3))]),
)  # fmt: skip - rows of a table, read side by side
