"""What a run's report counts."""

from __future__ import annotations

import pytest

from tutelage.labelling.report import Tally
from tutelage.records import Answer, AnswerStatus


@pytest.mark.parametrize(
    ("asked", "returned"),
    [
        ("gpt-4.1", "gpt-4.1"),
        ("gpt-4.1", "gpt-4.1-2025-04-14"),
        ("gpt-4", "gpt-4-0613"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
        ("mistral-small-latest", "mistral-small-2506"),
        ("models/gemini-2.0-flash", "gemini-2.0-flash-001"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen/qwen2.5-7b-instruct"),
        ("qwen2.5", "qwen2.5:latest"),
        ("my-deployment", ""),  # an endpoint that doesn't say
    ],
)
def test_a_build_of_the_model_asked_for_is_no_other(asked: str, returned: str) -> None:
    assert _others(asked, returned) == {}


@pytest.mark.parametrize(
    ("asked", "returned"),
    [
        ("gpt-4.1", "gpt-4.1-mini"),
        ("gpt-4.1", "gpt-4.1-mini-2025-04-14"),
        ("gpt-4", "gpt-4.1"),
        ("gpt-4", "gpt-4o-2024-08-06"),
        ("llama-3.1", "llama-3.1-8b"),
        ("my-deployment", "gpt-4.1-2025-04-14"),
    ],
)
def test_a_cheaper_sister_is_another_model_though_its_name_begins_alike(asked: str, returned: str) -> None:
    assert _others(asked, returned) == {returned: 1}


def _others(asked: str, returned: str) -> dict[str, int]:
    tally = Tally(asked)
    tally.add([Answer(AnswerStatus.OK, "card", model=returned)])
    return dict(tally.report(0, 0.0, 0.0).other_models)
