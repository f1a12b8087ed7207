"""What the server lets in: by role, size, time and place, on every route that it has."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator

import pytest
from served_world import KEY_NAME, TEACHER_KEY, Live, live, write_programme
from waiting import soon

from faulty_teacher import FaultyTeacher, Outcome
from tutelage.errors import UsageError
from tutelage.serving.access import Role
from tutelage.serving.app import Guarded, make_app
from tutelage.web.pages import with_pages

ROLES = ("", "client", "viewer", "reviewer", "admin")


@pytest.fixture(scope="module")
def teacher() -> Iterator[FaultyTeacher]:
    teacher = FaultyTeacher()
    yield teacher
    teacher.close()


@pytest.fixture(scope="module")
def served(teacher, tmp_path_factory) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_NAME, TEACHER_KEY)
        folder = tmp_path_factory.mktemp("world") / "inbox"
        serving = {"max_body_kb": 64}
        with live(write_programme(folder, teacher, serving)) as running:
            yield running


def _guarded(served: Live) -> list[Guarded]:
    return [route for route in served.server.service.routes if isinstance(route, Guarded)]


def test_every_route_turns_away_whoever_has_not_its_role(served):
    """The matrix is made from the application's own routes: one that is forgotten can't be left out."""
    seen = 0
    for route in _guarded(served):
        for method in sorted(set(route.methods or ()) - {"HEAD"}):
            path = route.path.replace("{path:path}", "embeddings").replace("{", "").replace("}", "")
            for role in ROLES:
                status = served.ask(method, path, role, content=b"[").status_code
                may = route.role is None or (bool(role) and Role(role).allows(route.role))
                wanted = "in" if may else "403" if role else "401"
                got = str(status) if status in (401, 403) else "in"
                assert got == wanted, (method, path, role, status)
                seen += 1
    assert seen >= 12 * len(ROLES)


def test_no_page_shows_anything_to_whoever_has_not_logged_in(served):
    own = {id(route) for route in served.server.service.routes}
    pages = [route for route in with_pages(served.server).routes if id(route) not in own]
    assert len(pages) >= 8
    for route in pages:
        for method in sorted(set(route.methods or ()) - {"HEAD"}):
            path = re.sub(r"\{[^}]*\}", "1", route.path)
            reply = served.ask(method, path, "", content=b"x=1", follow_redirects=False)
            if route.role is not None:
                assert reply.status_code in (303, 401, 403), (method, path, reply.status_code)
                assert reply.headers.get("location", "/login").startswith("/login")


def test_only_health_is_for_everybody(served):
    assert {route.path for route in _guarded(served) if route.role is None} == {
        *("/healthz", "/readyz", "/openapi.json")
    }


def test_an_application_with_a_route_that_says_no_role_does_not_start(served):
    from dataclasses import replace

    from starlette.routing import Route

    service = replace(served.server.service, routes=[Route("/open", lambda request: None)])
    with pytest.raises(UsageError, match="role"):
        make_app(service)


def test_a_key_in_a_query_or_cookie_is_none(served):
    key = served.keys["admin"]
    assert served.ask("GET", f"/v1/status?api_key={key}&key={key}", "").status_code == 401
    assert served.ask("GET", "/v1/status", "", headers={"Cookie": f"key={key}"}).status_code == 401


def test_every_answer_says_that_it_is_no_page_and_not_to_be_kept(served):
    for method, path, role in (
        ("GET", "/healthz", ""),
        ("GET", "/v1/status", "viewer"),
        ("GET", "/nowhere", ""),
        ("POST", "/v1/predict", ""),
        ("PUT", "/v1/predict", "client"),
    ):
        headers = served.ask(method, path, role).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]


def _raw(served: Live, request: bytes, rest: bytes = b"") -> bytes:
    """What comes back for bytes that no client would send."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        if rest:
            connection.sendall(rest)
        got = b""
        while b"\r\n\r\n" not in got and (more := connection.recv(65536)):
            got += more
    return got


def _head(served: Live, path: str, *lines: str, method: str = "GET") -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"Authorization: Bearer {served.keys['client']}", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


def test_a_body_that_is_too_large_is_turned_away_declared_or_not(served):
    declared = _raw(served, _head(served, "/v1/predict", "Host: x", "Content-Length: 70000", method="POST"))
    assert b" 413 " in declared.split(b"\r\n")[0] and b"nosniff" in declared
    head = _head(served, "/v1/predict", "Host: x", "Transfer-Encoding: chunked", method="POST")
    chunked = _raw(
        served, head, b"4000\r\n" + b"x" * 0x4000 + b"\r\n" + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 2
    )
    assert b" 413 " in chunked.split(b"\r\n")[0]


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "0x10", "٣"])
def test_a_declared_length_that_is_no_number_is_no_fault_of_the_server(served, length):
    head = _head(served, "/v1/predict", "Host: x", method="POST")[:-2]
    status = _raw(served, head + b"Content-Length: " + length.encode() + b"\r\n\r\n").split(b"\r\n")[0]
    assert b" 4" in status, status


def test_a_body_that_does_not_come_is_not_waited_for(teacher, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    serving = {"deadline": 0.5, "teacher_timeout": 0.2}
    with live(write_programme(tmp_path / "inbox", teacher, serving)) as served:
        head = _head(served, "/v1/predict", "Host: x", "Content-Length: 100", method="POST")
        assert b" 408 " in _raw(served, head, b"{").split(b"\r\n")[0]


def _upstream(teacher: FaultyTeacher) -> list[str]:
    """Makes the teacher answer everything with the path that it was asked for, and say so."""
    asked: list[str] = []

    def answer(path: str, headers: object, body: bytes) -> Outcome:
        asked.append(path)
        return Outcome(body=json.dumps({"path": path}).encode())

    teacher.routes = {("GET", "/"): answer, ("POST", "/"): answer}
    return asked


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/.%2e/admin",
        "/v1/%252e%252e/admin",
        "/v1/%25252e%25252e/admin",
        "/v1/files/..%2f..%2fadmin",
        "/v1/files\\..\\admin",
        "/v1/files/%5c..%5cadmin",
        "/v1//evil.example/x",
        "/v1/%2f%2fevil.example/x",
        "/v1/files/%0d%0aX-Evil:%201",
        "/v1/./x",
    ],
)
def test_a_path_that_may_lead_out_is_not_passed_on(served, teacher, path):
    asked = _upstream(teacher)
    status = _raw(served, _head(served, path, "Host: x")).split(b"\r\n")[0]
    assert b" 40" in status, status
    assert asked == []


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("/v1/files/a%20b?x=%2e%2e&y=1", "/v1/files/a%20b?x=%2e%2e&y=1"),
        ("/v1/files/a%3Fb%23c", "/v1/files/a%3Fb%23c"),
        ("/v1/@evil.example/x", "/v1/@evil.example/x"),
        ("/v1/http://evil.example/x", None),
        ("/v1/files/", "/v1/files/"),
    ],
)
def test_what_is_passed_on_reaches_the_teacher_as_it_came_and_nobody_else(served, teacher, path, passed):
    asked = _upstream(teacher)
    status = _raw(served, _head(served, path, "Host: evil.example/../x?y=")).split(b"\r\n")[0]
    assert asked == ([passed] if passed else []), status


@pytest.mark.parametrize("host", ["evil.example", "a/b", "a?b", "a#b", "x@y", "[::1", ""])
def test_what_a_client_writes_as_host_changes_nothing(served, teacher, host):
    asked = _upstream(teacher)
    status = _raw(served, _head(served, "/v1/models/some", f"Host: {host}")).split(b"\r\n")[0]
    assert b" 200 " in status or b" 400 " in status
    assert asked in ([], ["/v1/models/some"])


def test_a_redirect_of_the_teacher_is_not_followed_and_does_not_come_back_as_one(served, teacher):
    evil = FaultyTeacher()
    try:
        teacher.routes = {
            ("GET", "/"): lambda path, headers, body: Outcome(302, headers={"Location": evil.url + "/files"})
        }
        reply = served.ask("GET", "/v1/files", follow_redirects=False)
        assert "location" not in reply.headers
        assert evil.connected == 0 and evil.arrivals.total() == 0
    finally:
        evil.close()


def test_nothing_that_a_client_sends_becomes_a_header(served):
    reply = served.ask(
        "POST",
        "/v1/predict",
        json={"input": "refund\r\nX-Evil: 1", "key": "a\r\nX-Evil: 1", "slice": "s\r\nX-Evil: 1"},
    )
    assert reply.status_code == 200 and "x-evil" not in reply.headers


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 60_000),
        *(b'{"input": 1}', b'{"input": ""}', b'{"input": NaN}', b'{"x": 1}', b'{"inputs": []}'),
        b'{"input": "a", "input2": 1e999}',
    ],
)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/batch", "/v1/rollout"])
def test_a_body_that_is_none_is_said_to_be_none(served, path, body):
    reply = served.ask("POST", path, "admin", content=body)
    assert reply.status_code in (400, 422), reply.text
    assert set(reply.json()["error"]) == {"message", "type", "code", "param"}


@pytest.mark.parametrize("text", ["\ud800", "\x00", "a\u2028b", "\U0001f600" * 100, "\r\n\t"])
def test_any_text_is_an_input(served, text):
    body = json.dumps({"input": text, "key": text, "slice": text}).encode()
    for method, path, content in (
        ("POST", "/v1/predict", body),
        (
            "POST",
            "/v1/chat/completions",
            json.dumps({"model": "inbox", "messages": [{"role": "user", "content": text}]}),
        ),
    ):
        reply = served.ask(method, path, content=content)
        assert reply.status_code < 500 or reply.status_code in (502, 503), (text, reply.text)


def test_more_than_a_key_may_is_429_and_others_go_on(teacher, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    teacher.routes = {}
    with live(write_programme(tmp_path / "inbox", teacher, {"requests_per_minute": 30})) as served:
        with monkeypatch.context() as halted:
            halted.setattr("tutelage.serving.access.monotonic", lambda: 1_000.0)
            replies = [served.ask("GET", "/v1/models") for _ in range(5)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
        assert 1 <= int(replies[-1].headers["retry-after"]) <= 3
        assert served.ask("GET", "/v1/status", "viewer").status_code == 200
        assert served.ask("GET", "/healthz", "").status_code == 200

        async def revoke() -> None:
            stored = next(key for key in list(served.server.store.keys()) if key.name == "viewer")
            await asyncio.to_thread(served.server.store.revoke_key, stored.id, 1.0)

        served.run(revoke())
        soon(lambda: served.ask("GET", "/v1/rollout", "viewer").status_code == 401)
