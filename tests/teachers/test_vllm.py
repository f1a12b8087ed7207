"""The backend `vllm` over a stand-in: vLLM needs a GPU and was never run here.

The stand-in has the part of vLLM's API that is used (v0.12 and later), refuses any other argument as vLLM does,
and computes its numbers with transformers, so that both backends can be held to each other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from tiny_world import TEXTS
from tiny_writers import CHAT, LABELS, save_sure_writer
from tutelage.config import LocalTeacherConfig
from tutelage.errors import ConfigError, MissingExtraError
from tutelage.records import AnswerStatus, DistributionOrigin, Prompt
from tutelage.signals import unpack
from tutelage.tasks import Classify
from tutelage.tasks.generate import Generate
from tutelage.teachers import TeacherContext, build_teacher

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TASK = Classify(LABELS)


@dataclass
class StructuredOutputsParams:
    json: str | dict | None = None
    regex: str | None = None
    choice: list[str] | None = None


@dataclass
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    structured_outputs: StructuredOutputsParams | None = None

    def __post_init__(self):
        if self.temperature < 1e-5 and self.n > 1:
            raise ValueError("n must be 1 when using greedy sampling")


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None = None


@dataclass
class RequestOutput:
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput] = field(default_factory=list)


class LLM:
    """`forced` are ids that a structured output is; else the model's own tokens are taken."""

    made: ClassVar[list[dict[str, Any]]] = []
    asked: ClassVar[list[tuple[int, SamplingParams]]] = []
    forced: ClassVar[list[int]] = []

    def __init__(self, model, *, trust_remote_code=False, dtype="auto", revision=None, tokenizer_revision=None,
                 load_format="auto", max_model_len=None, max_logprobs=20, logprobs_mode="raw_logprobs",
                 tensor_parallel_size=1):  # fmt: skip
        from transformers import AutoModelForCausalLM

        assert load_format == "safetensors" and trust_remote_code is False and logprobs_mode == "raw_logprobs"
        self.model = AutoModelForCausalLM.from_pretrained(model).eval()
        self.longest, self.most = max_model_len, max_logprobs
        self.made.append({"dtype": dtype, "tensor_parallel_size": tensor_parallel_size})

    def generate(self, prompts, sampling_params, *, use_tqdm=True):
        assert not use_tqdm
        self.asked.append((len(prompts), sampling_params))
        return [self._request(prompt["prompt_token_ids"], sampling_params) for prompt in prompts]

    def _request(self, ids, how):
        if len(ids) + how.max_tokens > self.longest or (how.logprobs or 0) > self.most:
            raise ValueError("longer than the maximum model length, or more log-probabilities than allowed")
        scored = None
        if how.prompt_logprobs is not None:
            rows = zip(self._odds(ids), ids[1:], strict=False)
            scored = [None, *(self._listed(row, token, how.prompt_logprobs) for row, token in rows)]
        outputs = [self._text(ids, how, (how.seed or 0) + index, index) for index in range(how.n)]
        return RequestOutput(list(ids), scored, outputs)

    def _odds(self, ids):
        with torch.inference_mode():
            return torch.log_softmax(self.model(torch.tensor([ids])).logits[0].float(), -1)

    def _listed(self, row, token, count):
        """The likeliest, and the token itself where it is none of them."""
        top = row.topk(count)
        ranked = dict(zip(top.indices.tolist(), top.values.tolist(), strict=True)) if count else {}
        rank = int((row > row[token]).sum()) + 1
        listed = {one: Logprob(number, place) for place, (one, number) in enumerate(ranked.items(), 1)}
        return {token: Logprob(float(row[token]), rank)} | listed

    def _text(self, ids, how, seed, index):
        generator = torch.Generator().manual_seed(seed)
        written, listed = [], []
        forced = self.forced if how.structured_outputs is not None else []
        while len(written) < how.max_tokens and (not written or written[-1] != 1):
            row = self._odds([*ids, *written])[-1]
            if forced:
                token = forced[len(written)]
            elif how.temperature < 1e-5:
                token = int(row.argmax())
            else:
                token = int(torch.multinomial((row / how.temperature).softmax(-1), 1, generator=generator))
            written.append(token)
            listed.append(self._listed(row, token, how.logprobs or 0))
        ended = "stop" if written[-1] == 1 else "length"
        return CompletionOutput(index, "", written, None if how.logprobs is None else listed, ended)


@pytest.fixture(autouse=True)
def vllm(monkeypatch):
    module, params = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    module.LLM, module.SamplingParams = LLM, SamplingParams
    params.StructuredOutputsParams = StructuredOutputsParams
    module.__spec__ = ModuleSpec("vllm", None)
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
    LLM.made, LLM.asked, LLM.forced = [], [], []
    return module


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_sure_writer(folder / "chat", "causal", CHAT)
    save_sure_writer(folder / "seq2seq", "seq2seq")
    return folder


def teacher_of(models, backend="vllm", task=TASK, top_k=0, **config):
    changes = {"max_output_tokens": 12, "model": "chat", **config}
    config = LocalTeacherConfig(rights="own", backend=backend, **changes)
    return build_teacher(config, TeacherContext(task, (), models, top_k))


def ask(teacher, texts):
    return asyncio.run(teacher.answer([Prompt(str(row), text) for row, text in enumerate(texts)]))


def test_labels_are_weighed_as_transformers_weighs_them(models):
    teacher = teacher_of(models)
    found = ask(teacher, TEXTS[:3])
    for one, other in zip(found, ask(teacher_of(models, "transformers"), TEXTS[:3]), strict=True):
        np.testing.assert_allclose(one.distribution, other.distribution, atol=1e-5)
        assert (one.value, one.origin, one.raw) == (other.value, DistributionOrigin.MODEL, other.raw)
    assert LLM.asked[0][0] == len(LABELS), "the labels of a prompt go together"
    full = teacher_of(
        models, max_output_tokens=1, max_input_tokens=len(teacher._model.prompt(TASK.render(TEXTS[0])))
    )
    np.testing.assert_array_equal(ask(full, TEXTS[:1])[0].distribution, found[0].distribution)


def test_what_is_written_has_the_tokens_and_log_probabilities_of_transformers(models, monkeypatch):
    monkeypatch.setattr("tutelage.teachers._replies._whole", lambda parsed, *_: parsed)  # cut off, but read
    found = ask(teacher_of(models, task=Generate(), top_k=30), TEXTS[:2])
    others = ask(teacher_of(models, "transformers", task=Generate(), top_k=30), TEXTS[:2])
    for one, other in zip(found, others, strict=True):
        own, theirs = unpack(one.tokens), unpack(other.tokens)
        assert one.raw == other.raw and own.logprobs.shape == (12, 30)
        np.testing.assert_array_equal(own.ids, theirs.ids)
        np.testing.assert_allclose(own.logprobs, theirs.logprobs, atol=1e-4)
    assert len(LLM.asked) == 1 and LLM.asked[0][0] == 2, "one call for the batch"


def test_an_answer_follows_the_schema_and_its_distribution_is_the_models_own(models):
    teacher = teacher_of(models, choose="generate", max_output_tokens=40, top_k=5)
    LLM.forced = [*teacher._model.text_ids('{"label": "delivery"}'), 1]
    (answer,) = ask(teacher, TEXTS[:1])
    assert LLM.asked[0][1].structured_outputs.json == TASK.json_schema()
    assert (answer.status, answer.value) == (AnswerStatus.OK, "delivery")
    assert answer.origin is DistributionOrigin.LOGPROBS and answer.distribution.sum() == pytest.approx(
        1, abs=1e-5
    )
    kept = unpack(answer.tokens)
    assert kept.ids[:, 0].tolist() == LLM.forced and kept.ids.shape == (len(LLM.forced), 5)
    assert all(len(set(row)) == 5 for row in kept.ids.tolist()), "no alternative stands twice"
    assert (np.diff(kept.logprobs[:, 1:], axis=1) <= 0).all() and (kept.logprobs[:, 0] < -1).any()


def test_a_schema_can_be_left_out(models):
    LLM.forced = [1]
    ask(teacher_of(models, choose="generate", structured=False), TEXTS[:1])
    assert LLM.asked[0][1].structured_outputs is None


def test_samples_differ_and_repeat_with_their_seed(models):
    make = {"samples": 4, "temperature": 1.5, "max_output_tokens": 4, "task": Generate()}
    (one,), (again,), (other,) = (ask(teacher_of(models, seed=seed, **make), TEXTS[:1]) for seed in (0, 0, 1))
    assert len(set(json.loads(one.raw))) > 1 and one.raw == again.raw != other.raw


def test_engine_arguments_reach_the_engine_and_places_bound_prompts(models):
    teacher = teacher_of(models, engine={"tensor_parallel_size": 2}, max_input_tokens=90)
    (answer,) = ask(teacher, [" ".join(TEXTS)])
    assert LLM.made == [{"dtype": "auto", "tensor_parallel_size": 2}]
    assert answer.status is AnswerStatus.UNPARSEABLE and "teacher.max_input_tokens" in answer.reason
    assert teacher._model.places == 90 + len('{"label": "billing other"}') + 2
    asyncio.run(teacher.close())
    assert "_model" not in teacher.__dict__


def test_it_reveals_nothing_but_tokens_and_has_a_revision_of_its_own(models):
    teacher = teacher_of(models)
    assert teacher.reveals == () and teacher.token_manifest().vocabulary > 100
    assert teacher.revision != teacher_of(models, "transformers").revision


def test_models_of_two_parts_are_refused(models):
    with pytest.raises(ConfigError, match=r"sequence to sequence.*backend: transformers"):
        ask(teacher_of(models, model="seq2seq"), TEXTS[:1])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"backend": "vllm", "engine": {"trust_remote_code": True}}, "trust_remote_code"),
        ({"engine": {"seed": 1}}, "engine belongs to backend: vllm"),
        ({"structured": True}, "structured belongs to backend: vllm"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        LocalTeacherConfig(**{"rights": "own", "model": "m", **wrong})


def test_gguf_files_are_refused(models, monkeypatch):
    (models / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr("tutelage.checkpoints.find_spec", lambda name: True)
    with pytest.raises(ConfigError, match=r"m\.gguf is a GGUF file.*backend: transformers"):
        teacher_of(models, model="m.gguf")


def test_without_vllm_it_says_what_to_install(models, monkeypatch):
    monkeypatch.delitem(sys.modules, "vllm")
    with pytest.raises(MissingExtraError, match=r"teacher.backend vllm.*tutelage\[vllm\]"):
        teacher_of(models)
