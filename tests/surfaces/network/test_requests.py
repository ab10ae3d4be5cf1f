from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.surfaces.network.serving import Api, both, read

JSON = {"Content_Type": "application/json"}
SHOWN = {"Authorization": "DPoP nobody"}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with both(tmp_path_factory.mktemp("api"), "--burst", "100000", "--rate", "100000") as (one, _):
        yield one


REFUSED = [
    # Whom it is made to, and by whom.
    ("GET", "/v1/tasks", {"Host": "evil.example"}, 403, "foreign-host"),
    ("GET", "/v1/tasks", {"Origin": "https://evil.example"}, 403, "foreign-origin"),
    ("GET", "/v1/tasks", {"Origin": "null"}, 403, "foreign-origin"),
    # What it asks for.
    ("GET", "/v1/nothing", {}, 404, "unknown-path"),
    ("GET", "/v1/tasks/", {}, 404, "unknown-path"),
    ("GET", "/v1/tasks/%2e%2e", {}, 404, "unknown-path"),
    ("GET", "/v1/tasks/a%2Fb", {}, 404, "unknown-path"),
    ("GET", "/v1//tasks", {}, 404, "unknown-path"),
    ("GET", "http://evil.example/v1/tasks", {}, 404, "unknown-path"),
    ("GET", "/v1/tasks/%ff", {}, 400, "bad-query"),
    ("GET", "/v1/tasks/%00", {}, 400, "bad-query"),
    ("GET", "/v1/tasks/a%0a", {}, 400, "bad-query"),
    ("GET", "/v1/tasks/a%zz", {}, 404, "unknown-path"),
    ("DELETE", "/v1/tasks", {}, 405, "http-method"),
    ("PATCH", "/v1/tasks", {}, 405, "http-method"),
    ("OPTIONS", "/v1/tasks", {"Origin": ""}, 405, "http-method"),
    ("TRACE", "/v1/tasks", {}, 405, "http-method"),
    ("POST", "/livez", {}, 405, "http-method"),
    # What its query says.
    ("GET", "/v1/tasks?limit=1&limit=2", {}, 400, "bad-query"),
    ("GET", "/v1/tasks?limit=1e3", SHOWN, 400, "bad-query"),
    ("GET", "/v1/tasks?limit=" + "9" * 30, SHOWN, 400, "bad-query"),
    ("GET", "/v1/tasks?op=task:end", SHOWN, 400, "bad-query"),
    ("GET", "/v1/tasks?before=tsk_1", SHOWN, 400, "bad-query"),
    ("GET", "/v1/tasks?cursor=AAAA", SHOWN, 400, "bad-page-cursor"),
    ("GET", "/v1/tasks?=1", {}, 400, "bad-query"),
    ("GET", "/v1/tasks?" + "&".join(f"a{n}=1" for n in range(40)), {}, 400, "bad-query"),
    ("POST", "/v1/tasks?agent=a", SHOWN, 400, "bad-query"),
    # A139: a token stands in its header and nowhere else.
    ("GET", "/v1/tasks?access_token=eyJ", SHOWN, 400, "bad-query"),
    ("GET", "/v1/tasks", {"Cookie": "access_token=eyJ"}, 401, "no-proof"),
    # In which form.
    ("GET", "/v1/tasks", {"Accept": "text/html"}, 406, "not-acceptable"),
    ("GET", "/v1/tasks", {"Accept": "application/json;q=0"}, 406, "not-acceptable"),
    ("GET", "/v1/tasks", {"Content_Length": "3"}, 400, "bad-http"),
    ("POST", "/v1/tasks", {"Transfer_Encoding": "chunked", **JSON}, 411, "no-length"),
    ("POST", "/v1/tasks", {"Content_Length": "1048577", **JSON}, 413, "too-large"),
    ("POST", "/v1/tasks", {"Content_Length": "2", "Content_Type": "text/plain"}, 415, "content-type"),
    ("POST", "/v1/tasks", {"Content_Length": "2", "Content_Encoding": "gzip", **JSON}, 415, "content-type"),
    ("GET", "/v1/tasks", {"X": "a" * 17_000}, 431, "head-too-large"),
    ("GET", "/v1/tasks", {"DPoP": "a\r\nDPoP: b"}, 400, "bad-http"),
    ("GET", "/v1/tasks", {"Authorization": "DPoP a\r\nAuthorization: DPoP b"}, 400, "bad-http"),
    # Who asks.
    ("GET", "/v1/tasks", {}, 401, "no-proof"),
    ("HEAD", "/v1/tasks", {}, 401, ""),
    ("HEAD", "/v1/nothing", {}, 404, ""),
    ("POST", "/v1/revocation/stop", SHOWN, 400, "bad-body"),
    ("POST", "/v1/revocation/stop", {}, 401, "no-proof"),
    ("POST", "/v1/revocation/stop", {**SHOWN, "Idempotency_Key": " "}, 400, "bad-request-key"),
]  # fmt: skip  # a row is a case


@pytest.mark.parametrize(("verb", "target", "headers", "status", "code"), REFUSED)
def test_a_request_is_refused_with_one_status_and_one_code(
    there: Api, verb: str, target: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = there.send(there.head(verb, target, **headers))
    assert answer.status == status
    if verb != "HEAD":
        assert answer.code == code
        assert answer.json["status"] == status
        assert answer.json["type"] == f"urn:taskbound:problem:{code}"
    else:
        assert answer.body == b""
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


BODIES = [
    (b'{"agent":"a","agent":"b"}', "duplicate-key"),
    (b'{"agent":"a","\\u0061gent":"b"}', "duplicate-key"),
    (b'{"seconds":1e400}', "not-finite"),
    (b'{"seconds":NaN}', "not-finite"),
    (b'{"agent":"\\ud800"}', "lone-surrogate"),
    (b"[" * 5000 + b"]" * 5000, "too-deep"),
    (b"[]", "not-an-object"),
    (b'\xef\xbb\xbf{"agent":"a"}', "byte-order-mark"),
    (b'{"agent":"a"}{}', "trailing-data"),
    (b'{"agent":"\xff"}', "not-utf8"),
    (b'{"agent":1,"purpose":"p","seconds":1}', "bad-body"),
    (b'{"agent":"a","purpose":"p","seconds":1,"more":1}', "bad-body"),
    (b'{"op":"task:end","agent":"a","purpose":"p","seconds":1}', "bad-body"),
    (b"", "bad-body"),
]


@pytest.mark.parametrize(("body", "code"), BODIES)
def test_a_body_is_read_once_and_strictly(there: Api, body: bytes, code: str) -> None:
    answer = there.ask("POST", "/v1/tasks", body, **SHOWN)
    assert (answer.status, answer.code) == (400, code)


def test_what_the_path_says_is_not_said_by_the_body_too(there: Api) -> None:
    answer = there.ask("POST", "/v1/tasks/tsk_1/end", b'{"task":"tsk_2"}', **SHOWN)
    assert (answer.status, answer.code) == (400, "bad-body")
    assert there.ask("POST", "/v1/tasks/tsk_1/end", b'{"how":"failed"}', **SHOWN).status == 401
    assert there.ask("POST", "/v1/tasks/tsk_1/end", **SHOWN).status == 401


def test_who_shows_nothing_is_told_how_to_prove_themselves(there: Api) -> None:
    answer = there.ask("GET", "/v1/tasks")
    metadata = f"{there.origin}/.well-known/oauth-protected-resource"
    assert answer.headers["www-authenticate"] == f'DPoP algs="ES256", resource_metadata="{metadata}"'


@pytest.mark.parametrize("shown", ["Bearer abc", "DPoP eyJ.eyJ.sig", "Basic YTpi", "nothing", "DPoP"])
def test_a_proof_that_is_nobodys_is_refused_and_told_nowhere(there: Api, shown: str) -> None:
    answer = there.ask("GET", "/v1/tasks", Authorization=shown)
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    secret = shown.rpartition(" ")[2]
    assert len(secret) < 5 or (secret.encode() not in answer.body and secret not in there.process.words)


def test_one_connection_carries_one_request_after_the_other(there: Api) -> None:
    with there.connected() as one:
        for _ in range(3):
            one.sendall(there.head("GET", "/livez"))
            assert read(one).status == 200
        one.sendall(there.head("GET", "/v1/tasks"))
        assert read(one).status == 401
        one.sendall(there.head("GET", "/livez"))
        assert read(one).status == 200


def test_two_requests_at_once_are_none(there: Api) -> None:
    with there.connected() as one:
        one.sendall(there.head("GET", "/readyz") * 2)
        answer = read(one)
        assert (answer.status, answer.code) == (400, "bad-http")


def test_a_document_that_is_there_already_is_not_sent_again(there: Api) -> None:
    first = there.ask("GET", "/openapi.json")
    assert first.json["openapi"] == "3.1.0"
    again = there.ask("GET", "/openapi.json", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert there.ask("GET", "/openapi.json", If_None_Match='"other"').status == 200


def test_what_is_counted_is_by_route_and_never_by_what_a_client_chose(there: Api) -> None:
    there.ask("GET", "/v1/tasks/tsk_chosen")
    there.ask("GET", "/v1/chosen-path")
    text = there.ask("GET", "/metrics").body.decode()
    assert 'route="/v1/tasks/{task}",status="401"' in text
    assert "chosen" not in text


def test_the_resource_says_whom_to_ask_for_a_token(there: Api) -> None:
    told = there.ask("GET", "/.well-known/oauth-protected-resource").json
    assert told["resource"] == there.origin
    assert told["authorization_servers"] == [there.origin]


def test_no_request_makes_the_process_say_that_something_failed(there: Api) -> None:
    there.ask("GET", "/livez")
    assert "a request failed" not in there.process.words


def test_a_daemon_that_is_gone_is_said_and_one_that_is_back_is_found(tmp_path: Path) -> None:
    from tests.wiring.running import daemon, until  # noqa: PLC0415 -- for this story alone

    with both(tmp_path) as (one, process):
        assert one.ask("GET", "/readyz").status == 200
        process.end()
        assert one.ask("GET", "/livez").status == 200
        gone = one.ask("GET", "/readyz")
        assert (gone.status, gone.code, gone.headers["retry-after"]) == (503, "daemon-lost", "1")
        assert one.ask("GET", "/v1/tasks", **SHOWN).status == 503
        with daemon(tmp_path / "home", "--issuer", one.origin):  # with another name the API would end
            until(lambda: one.ask("GET", "/readyz").status == 200, "the daemon is found again")
            assert one.ask("GET", "/v1/tasks").code == "no-proof"


def test_an_address_that_asks_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    with both(tmp_path, "--burst", "5", "--rate", "1") as (one, _):
        seen = [one.ask("GET", "/v1/tasks").status for _ in range(8)]
        assert 429 in seen
        assert seen[:5] == [401] * 5
        answer = one.ask("GET", "/v1/tasks")
        assert answer.status != 429 or answer.headers["retry-after"] == "1"
        assert one.ask("GET", "/livez").status == 200
