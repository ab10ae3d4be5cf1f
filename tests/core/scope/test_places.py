"""Which arguments of real and of hostile tool schemas are paths, may be, or are not."""

from __future__ import annotations

from typing import Any

import pytest

from taskbound.core.scope.suggest import Sort, places_of

TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
NODE: dict[str, Any] = {
    "type": "object",
    "properties": {"path": TEXT, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
}
WIDE = "".join(chr(0xFEE0 + ord(one)) for one in "path")
DEFINED: dict[str, Any] = {
    "$defs": {
        "Node": NODE,
        "Round": {"$ref": "#/$defs/Round"},
        "Count": {"type": "number"},
        "Long": {"minLength": 1},
        "Edit": {"properties": {"path": TEXT}},
    }
}
EDIT = {"type": "object", "properties": {"oldText": TEXT, "newText": TEXT}}


def told(text: str, **more: Any) -> dict[str, Any]:
    return {**TEXT, "description": text, **more}


def listed(sort: Sort, properties: dict[str, Any], about: str = "", **more: Any) -> set[str]:
    found = places_of({"type": "object", "properties": properties, **more}, about=about)
    return {one.text for one in found if one.sort is sort}


@pytest.mark.parametrize(
    ("properties", "paths"),
    [
        # @modelcontextprotocol/server-filesystem and mcp-server-git, as they define them
        ({"path": TEXT, "tail": {"type": "number"}}, {"path"}),
        ({"paths": TEXTS}, {"paths"}),
        ({"path": TEXT, "edits": {"type": "array", "items": EDIT}, "dryRun": {"type": "boolean"}}, {"path"}),
        ({"path": TEXT, "pattern": TEXT, "excludePatterns": TEXTS}, {"path"}),
        ({"repo_path": {"title": "Repo Path", "type": "string"}, "message": TEXT}, {"repo_path"}),
        ({"repo_path": TEXT, "files": {"title": "Files", **TEXTS}}, {"repo_path", "files"}),
        # spellings
        ({"PATH": TEXT, "Path2": TEXT, "FILEPATH": TEXT}, {"PATH", "Path2", "FILEPATH"}),
        ({"repoPath": TEXT, "targetFile": TEXT, "file-name": TEXT}, {"repoPath", "targetFile", "file-name"}),
        ({"pathToRepo": TEXT, "path_a": TEXT, "srcdir": TEXT}, {"pathToRepo", "path_a", "srcdir"}),
        ({"cwd": TEXT, "root": TEXT, "logfile": TEXT}, {"cwd", "root", "logfile"}),
        ({WIDE: TEXT}, {WIDE}),
        ({"a.path": TEXT}, {'"a.path"'}),
        ({"path": {}, "dir": True}, {"path", "dir"}),
        ({"path": {"type": ["string", "null"]}}, {"path"}),
        # format and description
        ({"q": {**TEXT, "format": "path"}, "w": {**TEXT, "format": "File-Path"}}, {"q", "w"}),
        (
            {"x1": told("The absolute path of the file to read"), "y1": told("Directory to list")},
            {"x1", "y1"},
        ),
        ({"source": told("Path to copy from"), "to": told("where to put the file")}, {"source"}),
        # nested, alternatives, references
        ({"edits": {"type": "array", "items": {"properties": {"path": TEXT}}}}, {"edits[*].path"}),
        ({"a": {"type": "object", "properties": {"b": {"properties": {"dir": TEXT}}}}}, {"a.b.dir"}),
        ({"path": {"anyOf": [TEXT, TEXTS, {"type": "null"}]}}, {"path"}),
        (
            {"op": {"oneOf": [{"properties": {"path": TEXT}}, {"properties": {"file": TEXT}}]}},
            {"op.path", "op.file"},
        ),
        ({"op": {"$ref": "#/$defs/Node"}}, {"op.path", "op.children[*].path"}),
        (
            {"grid": {"type": "array", "items": {"type": "array", "items": {"properties": {"path": TEXT}}}}},
            {"grid[*][*].path"},
        ),
        (
            {"op": {"$ref": "#/$defs/Count", "$dynamicRef": "#/$defs/Node"}},
            {"op.path", "op.children[*].path"},
        ),
        # a type that excludes no text, or that no validator knows
        (
            {"path": {"anyOf": [{"type": "number"}, True]}, "dir": {"oneOf": [{}, {"type": "null"}]}},
            {"path", "dir"},
        ),
        ({"path": {"if": {"const": 1}, "then": {"type": "number"}}}, {"path"}),
        ({"path": {"allOf": [{"minLength": 1}]}, "dir": {"$ref": "#/$defs/Long"}}, {"path", "dir"}),
        ({"path": {"anyOf": [{"enum": ["a"]}, {"not": {"type": "null"}}]}}, {"path"}),
        ({"path": {"type": "str"}, "dir": {"type": ["number", "text"]}}, {"path", "dir"}),
        # other languages
        (
            {"pfad": TEXT, "fichier": TEXT, "carpetas": TEXTS, "fname": TEXT},
            {"pfad", "fichier", "carpetas", "fname"},
        ),
    ],
)
def test_path_arguments_are_found(properties: dict[str, Any], paths: set[str]) -> None:
    assert listed(Sort.PATH, properties, "", **DEFINED) == paths


def test_source_and_destination_of_a_tool_that_moves_files_are_paths() -> None:
    assert listed(Sort.PATH, {"source": TEXT, "dst": TEXT}, "move_file Move or rename files") == {
        "source",
        "dst",
    }


@pytest.mark.parametrize(
    ("properties", "doubts"),
    [
        (
            {"source": TEXT, "destination": TEXT, "src": TEXTS, "location": TEXT},
            {"source", "destination", "src", "location"},
        ),
        ({"command": TEXT, "args": TEXTS}, {"command", "args"}),
        ({"раth": TEXT}, {"раth"}),  # noqa: RUF001 -- letters of another script
        ({"options": {"type": "object"}}, {"options"}),
        ({"n": told("names the thing, or its file")}, {"n"}),
        ({"text": told("Path of the file to read")}, {"text"}),
        ({"files": {"type": "object", "additionalProperties": TEXT}}, {"further members of files"}),
        ({"files": {"type": "array", "items": {"properties": {"name": TEXT}}}}, {"files[*].name"}),
        ({"path": {"anyOf": [TEXT, {"properties": {"file": TEXT}}]}}, {"path"}),
        ({"file_handle": TEXT}, {"file_handle"}),
        (
            {
                "op": {
                    "allOf": [
                        {"properties": {"path": TEXT}},
                        {"properties": {"path": {"properties": {"dir": TEXT}}}},
                    ]
                }
            },
            {"op.path"},
        ),
        ({"": {"properties": {"path": TEXT}}}, {""}),
        ({f"path{'x' * 256}": TEXT, "deep_path": TEXT}, {f"path{'x' * 256}"}),
        ({"tree": {"$ref": "#/$defs/Node"}}, {"tree.children[*].children"}),
        ({"x": {"$ref": "#/$defs/none"}}, {"x"}),
        ({"x": {"$ref": "#/$defs/Round"}}, {"x"}),
        ({"x": {"$recursiveRef": "#"}}, {"x.x"}),
        ({"x": {"type": "array", "items": [TEXT], "additionalItems": {"properties": {"path": TEXT}}}}, {"x"}),
        ({"x": {"type": "array", "unevaluatedItems": {"properties": {"path": TEXT}}}}, {"x"}),
        ({"x": {"type": "array", "contains": {"properties": {"path": TEXT}}}}, {"x"}),
        # names of members, and JSON in a text
        (
            {"sizes": {"type": "object", "additionalProperties": {"type": "integer"}}},
            {"further members of sizes"},
        ),
        ({"params_json": TEXT, "ops": told("A JSON array of edits")}, {"params_json", "ops"}),
        ({"payload": {**TEXT, "contentMediaType": "application/json"}}, {"payload"}),
        # what the schema shows of a text
        ({"q": {**TEXT, "default": "/etc/passwd"}, "r": {**TEXT, "examples": ["C:\\a"]}}, {"q", "r"}),
        ({"s": {**TEXT, "pattern": "^/"}, "t": {**TEXT, "example": "file:///a"}}, {"s", "t"}),
        ({"u": told("names a page by its URL")}, {"u"}),
    ],
)
def test_arguments_that_may_be_paths_and_cannot_be_limited_are_in_doubt(
    properties: dict[str, Any], doubts: set[str]
) -> None:
    assert listed(Sort.DOUBT, properties, "", **DEFINED) == doubts


@pytest.mark.parametrize(
    "properties",
    [
        {"xpath": TEXT, "XPath": TEXT, "jsonpath": TEXT, "json_path": TEXT, "profile": TEXT, "empath": TEXT},
        {"file_id": TEXT, "fileType": TEXT, "path_style": TEXT, "folderIds": TEXTS},
        {"path_count": {"type": "integer"}, "recursive_dir": {"type": "boolean"}},
        {"source_language": TEXT, "output_format": TEXT, "target": TEXT, "from": TEXT, "name": TEXT},
        {"content": told("Text to write to the file"), "message": TEXT, "query": TEXT},
        {"kind": {"enum": ["file", "directory"]}, "since": {**TEXT, "format": "date"}},
        {"revision": told("The branch or commit to compare with"), "branch_name": TEXT},
        {"entities": {"type": "array", "items": {"properties": {"name": TEXT, "observations": TEXTS}}}},
        {"closed": {"type": "object", "additionalProperties": False}},
    ],
)
def test_arguments_that_are_no_paths_are_free(properties: dict[str, Any]) -> None:
    found = places_of({"type": "object", "properties": properties})
    assert [one.text for one in found if one.sort is not Sort.FREE] == []


@pytest.mark.parametrize(
    ("properties", "sort"),
    [
        ({"url": {**TEXT, "format": "uri"}}, Sort.WEB),
        ({"uri": TEXT}, Sort.WEB),
        ({"page": {**TEXT, "format": "uri"}}, Sort.WEB),
        ({"file_url": TEXT}, Sort.EITHER),
        ({"pathOrUrl": TEXT}, Sort.EITHER),
        ({"uri": told("A URL, or the path of a file")}, Sort.EITHER),
        ({"page": told("The URL to fetch")}, Sort.WEB),
    ],
)
def test_urls_are_addresses_of_the_web(properties: dict[str, Any], sort: Sort) -> None:
    assert listed(sort, properties) == {*properties}


def test_declared_roles_make_paths_and_settle_doubts_and_take_no_path_away() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"q": TEXT, "source": TEXT, "path": TEXT}}
    found = places_of(schema, paths=frozenset({"q"}), others=frozenset({"source", "path"}))
    assert {one.text: one.sort for one in found} == {"path": Sort.PATH, "q": Sort.PATH, "source": Sort.FREE}


def test_schema_that_unfolds_without_measure_is_in_doubt() -> None:
    last: dict[str, Any] = {"properties": {"path": TEXT}}
    levels: dict[str, Any] = {
        f"L{at}": {"properties": {f"{side}{at}": {"$ref": f"#/$defs/L{at + 1}"} for side in "ab"}}
        for at in range(12)
    }
    found = places_of({"$ref": "#/$defs/L0", "$defs": {**levels, "L12": last}})
    assert [one.sort for one in found] == [Sort.DOUBT]


@pytest.mark.parametrize("more", [{"additionalProperties": True}, {"patternProperties": {"^p": TEXT}}])
def test_further_arguments_are_in_doubt(more: dict[str, Any]) -> None:
    assert listed(Sort.DOUBT, {"n": TEXT}, **more) == {"further members of the arguments"}


def test_tool_that_speaks_of_files_and_declares_no_arguments_is_in_doubt() -> None:
    about = "read_file Read a file"
    undeclared = places_of({"type": "object"}, about=about)
    assert [(one.text, one.sort) for one in undeclared] == [("the arguments", Sort.DOUBT)]
    assert places_of({"type": "object", "properties": {}}, about=about) == ()
