"""The OpenAPI is of the routes that there are, and a live server keeps to it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served_world import KEY_NAME, TEACHER_KEY, Live, label, live, write_programme

from faulty_teacher import FaultyTeacher, Outcome
from tutelage.serving.openapi import OPERATIONS, openapi_document

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Live]:
    teacher = FaultyTeacher()
    choice = {"index": 0, "message": {"role": "assistant", "content": label("card")}, "finish_reason": "stop"}
    said = json.dumps({"id": "1", "object": "chat.completion", "model": "big-model", "choices": [choice]})
    teacher.routes = {("POST", "/"): lambda path, headers, body: Outcome(body=said.encode())}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_NAME, TEACHER_KEY)
        with live(write_programme(tmp_path_factory.mktemp("world") / "inbox", teacher)) as running:
            yield running
    teacher.close()


def test_every_route_is_described_with_its_role_and_none_besides(served):
    found = {
        (method, route.path): route.role
        for route in served.server.service.routes
        for method in set(route.methods or ()) - {"HEAD"}
        if "{path:path}" not in route.path
    }
    assert found == {key: operation.role for key, operation in OPERATIONS.items()}


def test_the_document_is_what_the_server_gives_and_whole(served):
    document = served.ask("GET", "/openapi.json", "").json()
    assert document == openapi_document()
    named = document["components"]["schemas"]
    text = str(document)
    assert all(
        f"#/components/schemas/{name}" in text for name in ("PredictRequest", "FaultBody", "BatchResponse")
    )
    assert {"PredictRequest", "PredictResponse", "BatchRequest", "Fault", "RolloutRequest"} <= named.keys()
    assert named["PredictRequest"]["additionalProperties"] is False


def _fuzz(served: Live, method: str, path: str, examples: int) -> None:
    operation = schemathesis.openapi.from_dict(openapi_document())[path][method]

    @hypothesis.seed(20)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def fuzzed(case: schemathesis.Case) -> None:
        key = {"Authorization": f"Bearer {served.keys['admin']}"}
        case.call_and_validate(base_url=served.url, headers=key, checks=CHECKS)

    fuzzed()


@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_a_live_server_keeps_to_it(served, method, path):
    _fuzz(served, method, path, 8 if method == "POST" else 1)


@pytest.mark.long
@pytest.mark.parametrize(("method", "path"), sorted(key for key in OPERATIONS if key[0] == "POST"))
def test_a_live_server_keeps_to_it_for_longer(served, method, path):
    _fuzz(served, method, path, 500)
