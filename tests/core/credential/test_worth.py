from __future__ import annotations

import time

import pytest

from taskbound.core.clock import Instant
from taskbound.core.credential.secret import SECRET_BYTES, spell_secret
from taskbound.core.credential.static import Hit, SecretKind, StaticSecret, Worth, oldest_first
from taskbound.core.credential.worth import (
    LONGEST,
    NOT_SHOWN,
    References,
    database_words,
    named_value,
    safe,
    what_of,
    worth_of,
)

GITHUB = "ghp_" + "a" * 36
S, P = Worth.SECRET, Worth.PLACEHOLDER
NONE, BRACED, SHELL = References.NONE, References.BRACED, References.SHELL


@pytest.mark.parametrize(
    ("value", "references", "worth"),
    [
        ("hunter2", NONE, S),
        ("", NONE, None),
        ("  ", NONE, None),
        ("null", NONE, None),
        ("false", NONE, None),
        ("${TOKEN}", BRACED, None),
        ("${env:TOKEN}", BRACED, None),
        ("${input:token}", BRACED, None),
        ("Bearer ${TOKEN}", BRACED, None),
        ("Bearer abcdef123", BRACED, S),
        ("${TOKEN:-}", BRACED, None),
        ("${TOKEN:-hunter2}", BRACED, S),
        ("${TOKEN:?say it}", BRACED, None),
        ("${TOKEN}", NONE, S),
        ("$TOKEN", BRACED, S),
        ("$TOKEN", SHELL, None),
        ("$(pass show db)", SHELL, None),
        ("`pass show db`", SHELL, None),
        ("pre$TOKEN", SHELL, S),
        ("changeme", NONE, P),
        ("CHANGE-ME", NONE, P),
        ("<your token>", NONE, P),
        ("Bearer <token>", NONE, P),
        ("xxxxxxxx", NONE, P),
        ("********", NONE, P),
        ("your_api_key_here", NONE, P),
        ("{{ vault_password }}", NONE, P),
        ("token", NONE, P),
        ("REPLACE_ME", NONE, P),
        ("sk-xxxxxxxxxxxxxxxxxxxx", NONE, P),
        ("correct horse", NONE, S),
    ],
)
def test_a_value_is_a_secret_a_placeholder_or_none(
    value: str, references: References, worth: Worth | None
) -> None:
    assert worth_of(value, references) is worth


@pytest.mark.parametrize(
    ("text", "what", "kind"),
    [
        (GITHUB, "GitHub token", SecretKind.FORGE),
        ("github_pat_" + "a" * 30, "GitHub token", SecretKind.FORGE),
        ("glpat-" + "a" * 20, "GitLab token", SecretKind.FORGE),
        ("sk-ant-" + "a" * 20, "Anthropic key", SecretKind.OTHER),
        ("sk-" + "a" * 20, "OpenAI key, or one that begins alike", SecretKind.OTHER),
        ("AKIA" + "A" * 16, "AWS access key", SecretKind.CLOUD),
        ("xoxb-" + "1" * 12, "Slack token", SecretKind.OTHER),
        ("AGE-SECRET-KEY-1" + "Q" * 20, "age key", SecretKind.OTHER),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key", SecretKind.OTHER),
        ("postgres://app:w@db:5433/o", "PostgreSQL password for db:5433/o app", SecretKind.POSTGRES),
        ("postgresql+psycopg://app:w@db/o", "PostgreSQL password for db/o app", SecretKind.POSTGRES),
        ("rediss://:w@cache", "Redis password for cache", SecretKind.REDIS),
        ("https://ann:w@git.example/x", "password for git.example", SecretKind.OTHER),
        ("postgres://a:w@[::1]:5/d?x=1", "PostgreSQL password for [::1]:5/d a", SecretKind.POSTGRES),
    ],
)
def test_a_text_says_by_itself_what_it_is(text: str, what: str, kind: SecretKind) -> None:
    assert what_of(text) == (what, kind)
    assert what_of(f"x = '{text}'") == (what, kind)


@pytest.mark.parametrize(
    "text",
    [
        *("postgres://a:top@secret@h/d", "postgres://a:top@se/cret@h/d", "postgres://a:top@se#cret@h/d"),
        *("postgres://a:top@secret cret@h/d", "postgres://a:top@secret'cret@h/d"),
        *("https://top-secret:x-oauth-basic@h/d", "redis://top:secret@h", "mysql://a:top@secret:cret@h"),
    ],
)
def test_no_part_of_a_password_that_is_written_as_it_should_not_be_is_told(text: str) -> None:
    told = what_of(text)
    assert told is not None
    assert not any(part in told[0] for part in ("top", "secret", "cret", "se/"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "hello", "https://example.org/a", "https://ann@example.org", "postgres://app@db/o"),
        *("sha256:" + "a" * 64, "task-" + "a" * 30, "AKIA", "ghp_short", "http://[::1", "https://u:@h/"),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ],
)
def test_what_merely_looks_random_says_nothing(text: str) -> None:
    assert what_of(text) is None


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("PGPASSWORD", "w", "PostgreSQL password"),
        ("REDISCLI_AUTH", "w", "Redis password"),
        ("MYSQL_PASS", "w", "MySQL password"),
        ("VAULT_TOKEN", "w", "Vault token"),
        ("AWS_SECRET_ACCESS_KEY", "w", "cloud secret"),
        ("MY_API_KEY", "w", "secret, by its name"),
        ("PLAIN", GITHUB, "GitHub token"),
        ("DATABASE_URL", "postgres://a:w@h/d", "PostgreSQL password for h/d a"),
    ],
)
def test_a_variable_is_told_by_its_value_or_by_its_name(name: str, value: str, what: str) -> None:
    told = named_value(name, value, SHELL)
    assert told is not None
    assert told[0] == what


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PATH", "/usr/bin"), ("MAX_TOKENS", "4096"), ("API_KEY", "${OTHER}"), ("API_KEY", "")),
        *(("GOOGLE_APPLICATION_CREDENTIALS", "/srv/key.json"), ("SORT_KEY", "name"), ("TOKEN", "false")),
        *(("DATABASE_URL", "postgres://a:$PASS@h/d"), ("PASSWORD_FILE", "/run/x")),
    ],
)
def test_what_is_no_secret_or_only_refers_to_one_is_none(name: str, value: str) -> None:
    assert named_value(name, value, SHELL) is None


def test_a_header_whose_name_may_be_a_secrets_counts_where_that_is_enough() -> None:
    assert named_value("X-Session-Id", "w", BRACED) is None
    assert named_value("X-Session-Id", "w", BRACED, hint=True) is not None


def test_what_was_minted_for_a_task_is_told_by_its_form() -> None:
    minted = spell_secret(bytes(SECRET_BYTES))
    told = what_of(f"PGPASSWORD={minted}")
    assert told == ("secret that was minted for a task", SecretKind.MINTED)
    assert safe(minted) == NOT_SHOWN


def test_words_that_are_shown_are_escaped_short_and_never_a_secret() -> None:
    assert safe("db\x1b[2J\n") == "db\\u{1B}[2J\\n"
    assert safe("a" * 200) == "a" * 79 + "…"
    assert safe(GITHUB) == safe(f"https://u:{GITHUB}@h") == NOT_SHOWN
    assert database_words("h\u202e", "1", GITHUB, "u") == f"h\\u{{202E}}:1/{NOT_SHOWN} u"


@pytest.mark.parametrize("unit", ["a", "eyJ", "$(", "`", "${", "a://", ":", "x", "sk-", "<", "é"])
def test_no_text_keeps_a_look_busy(unit: str) -> None:
    text = unit * (4 * LONGEST // len(unit))
    begun = time.process_time()
    for references in References:
        named_value("TOKEN", text, references)
    safe(text)
    assert time.process_time() - begun < 1.0


def test_the_oldest_come_first_and_what_is_to_be_filled_in_last() -> None:
    def one(path: str, since: int, worth: Worth = S) -> StaticSecret:
        hit = Hit(what="", kind=SecretKind.OTHER, worth=worth)
        return StaticSecret(
            path=path, through="", hit=hit, since=Instant(since), mode=0, readers="", owner=""
        )

    found = [one("filled", 1, P), one("new", 9), one("old", 2)]
    assert [each.path for each in oldest_first(found)] == ["old", "new", "filled"]
