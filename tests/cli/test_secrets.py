"""A server that sends back what it was sent: no secret of ours comes to stand anywhere."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inbox import endpoint_programme, questions
from typer.testing import CliRunner

from faulty_teacher import FaultyTeacher, Outcome, completion, error
from tutelage.cli.app import app
from tutelage.errors import TutelageError

KEY = "sk-very/secret+0123456789="
TOKEN = "gateway-token-0123456789"
TEXTS = questions()
Body = Callable[[FaultyTeacher, dict[str, Any]], bytes]


def echoed(make: Callable[[str], bytes]) -> Body:
    """A body made of the headers that came with the request."""
    return lambda teacher, _: make(
        "\n".join(f"{name}: {value}" for name, value in teacher.headers[-1].items())
    )


def escaped_text(body: bytes) -> bytes:
    """As .NET and PHP write JSON."""
    return body.replace(b"+", b"\\u002B").replace(b"/", b"\\/")


def message(text: str) -> bytes:
    """Anthropic's."""
    content = [{"type": "thinking", "thinking": text}, {"type": "text", "text": text}]
    usage = {"input_tokens": 1, "output_tokens": 1}
    return json.dumps({"content": content, "model": text, "stop_reason": "end_turn", "usage": usage}).encode()


def escaped(headers: str) -> bytes:
    return escaped_text(error(headers))


PASSING = [
    Outcome(500, echoed(lambda headers: error(headers))),
    Outcome(503, echoed(escaped)),
    Outcome(502, echoed(lambda headers: f"<html>{headers}</html>".encode())),
    Outcome(429, echoed(lambda headers: error("slow", code=headers))),
    Outcome(body=echoed(lambda headers: headers.encode())),
    Outcome(body=echoed(lambda headers: error(headers, code=500))),
    Outcome(body=echoed(lambda headers: f'{{"choices": "{headers}'.encode())),
]
KEPT = [
    Outcome(400, echoed(lambda headers: error(headers))),
    Outcome(422, echoed(escaped)),
    Outcome(body=echoed(lambda headers: completion(headers))),
    Outcome(body=echoed(lambda headers: completion(json.dumps({"label": headers})))),
    Outcome(body=echoed(lambda headers: completion(json.dumps({headers: "card"})))),
    Outcome(body=echoed(lambda headers: completion('{"label": "card"}', model=headers))),
    Outcome(body=echoed(lambda headers: escaped_text(completion(headers)))),
    Outcome(body=echoed(lambda headers: completion(None, refusal=headers))),
    Outcome(body=echoed(lambda headers: completion(headers, finish="length"))),
    Outcome(body=echoed(lambda headers: message(headers))),
    Outcome(body=echoed(lambda headers: escaped_text(message(json.dumps({"label": headers}))))),
]
ENDING = {
    "refused": Outcome(401, echoed(lambda headers: error(headers))),
    "credit": Outcome(429, echoed(lambda headers: error("insufficient_quota", param=headers))),
    "elsewhere": Outcome(307, b"", {"Location": f"https://elsewhere.example/{KEY}?key={TOKEN}"}),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faulty_teacher: FaultyTeacher) -> Path:
    monkeypatch.setenv("SCRIPTED_API_KEY", KEY)
    monkeypatch.setenv("GATEWAY_TOKEN", TOKEN)
    return endpoint_programme(
        tmp_path,
        faulty_teacher.url,
        TEXTS,
        20,
        {"concurrency": 1, "wait": 0.001, "budget": 10.0},
        api_key_env="SCRIPTED_API_KEY",
        headers={"X-Gateway-Token": "${GATEWAY_TOKEN}"},
        price={"input": 1.0, "output": 2.0},
    )


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("ending", [None, *ENDING])
def test_a_server_that_echoes_headers_makes_no_secret_show(
    ending: str | None,
    dialect: str,
    folder: Path,
    faulty_teacher: FaultyTeacher,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    config = folder / "tutelage.yaml"
    config.write_text(config.read_text().replace('"openai"', f'"{dialect}"'))
    for text, outcome in zip(TEXTS[20:], [*PASSING, *KEPT], strict=False):
        faulty_teacher.script(text, [outcome])
    if ending:
        faulty_teacher.script(TEXTS[-1], [ENDING[ending]] * 9)
    said = []
    for verb in ("check", "gold", "collect", "label", "status", "status --json"):
        result = CliRunner().invoke(app, [*verb.split(), str(folder)])
        said.append(result.output + result.stderr)
        assert result.exception is None or isinstance(result.exception, SystemExit | TutelageError), said
        if result.exc_info is not None:
            said += traceback.format_exception(*result.exc_info)
    assert faulty_teacher.headers[-1]["x-gateway-token"] == TOKEN
    sent = faulty_teacher.headers[-1]
    assert sent.get("authorization") == f"Bearer {KEY}" or sent.get("x-api-key") == KEY
    said += [record.getMessage() for record in caplog.records]
    for secret in (KEY, TOKEN):
        assert not [text for text in said if secret in text]
        assert not [path for path in _files(folder) if secret.encode() in path.read_bytes()]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
