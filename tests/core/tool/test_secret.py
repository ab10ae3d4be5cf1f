from __future__ import annotations

import pytest

from taskbound.core.tool.slot import is_secret_text, may_name_secret, names_secret


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "GITHUB_PERSONAL_ACCESS_TOKEN",
        "OPENAI_API_KEY",
        "apiKey",
        "APIKEY",
        "X-Api-Key",
        "Authorization",
        "--password",
        "db.password",
        "clientSecret",
        "PGPASSWORD",
        "SECRET_2",
        "serviceKey",
    ],
)
def test_a_name_that_says_that_it_holds_a_secret(name: str) -> None:
    assert names_secret(name)
    assert may_name_secret(name)


@pytest.mark.parametrize(
    "name", ["PATH", "", "MONKEY", "KEYBOARD", "tokenizer", "passport", "x-tenant", "TOKENS_PATH_DIR"]
)
def test_a_name_that_says_nothing_of_the_kind(name: str) -> None:
    assert not names_secret(name)


@pytest.mark.parametrize(
    "name", ["sort-key", "KEY", "--access-mode", "SESSION_ID", "auth_mode", "code", "sig"]
)
def test_a_name_that_may_be_a_secrets_is_kept_out_of_pins_and_is_not_taken_for_one(name: str) -> None:
    assert may_name_secret(name)
    assert not names_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        "ghp_" + "a" * 36,
        "github_pat_" + "a" * 22,
        "glpat-" + "a" * 20,
        "xoxb-" + "1" * 20,
        "sk-ant-" + "a" * 30,
        "key=sk-" + "a" * 20,
        "key_sk-" + "a" * 20,
        "key%3Dsk-" + "a" * 20,
        "x\\nsk-" + "a" * 20,
        "x\\u003dsk_live_" + "a" * 20,
        "éßrk_test_" + "a" * 20,
        "AKIA" + "A" * 16,
        "AIza" + "a" * 32,
        "ya29." + "a" * 12,
        "Bearer " + "a" * 20,
        "basic dXNlcjpwYXNz",
        "--header=Authorization: Bearer abcdefgh",
        "postgresql://me:hunter2@db.example.com/x",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
    ],
)
def test_a_text_that_shows_what_it_is(text: str) -> None:
    assert is_secret_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "/srv/keys/id",
        "https://example.com/a:b@c",
        "https://me@example.com/",
        "Bearer of news",
        "0123456789abcdef" * 4,
        "sk-short",
        "task-of-the-release-of-monday",
        "the/task-2026-11-28-deploy-it",
        "risk_test_of_the_new_release",
        "brk_live_of_everything_there",
    ],
)
def test_a_text_that_shows_nothing(text: str) -> None:
    assert not is_secret_text(text)
