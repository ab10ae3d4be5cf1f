from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taskbound.core.action.canonical import MAX_INTEGER, JsonValue, canonical
from taskbound.wire.document import read_document, write_yaml

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "yes",
        "~",
        "null",
        "1e3",
        "0x1F",
        "12:30",
        "- a",
        "a: b",
        "a #b",
        "*x",
        "\t",
        "\u202e",
        "'",
        '"',
        "---",
        "",
    ]
)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(min_value=-1e9, max_value=1e9).map(lambda x: int(x) if x == int(x) else x)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([(), ("grants", "a")]))
def test_what_is_written_as_yaml_is_read_back_as_the_same_value(
    value: JsonValue, blocks: tuple[str, ...]
) -> None:
    text = write_yaml(value, order=("b", "a"), blocks=blocks)
    assert canonical(read_document(text.encode(), "x.yaml").value) == canonical(value)


def test_a_scope_is_written_as_a_person_would_write_it() -> None:
    value: JsonValue = {
        "grants": [
            {
                "uses": 3,
                "arguments": {"path": {"below": "/home/u"}, "n": {"range": {"max": 50, "min": 1}}},
                "tool": "fs__read",
            }
        ]
    }
    text = write_yaml(value, order=("tool", "arguments", "min", "max"), blocks=("grants", "arguments"))
    assert text == (
        "grants:\n"
        "  - tool: fs__read\n"
        "    arguments:\n"
        "      n: {range: {min: 1, max: 50}}\n"
        "      path: {below: /home/u}\n"
        "    uses: 3\n"
    )
