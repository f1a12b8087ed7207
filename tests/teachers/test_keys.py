"""Under which key answers are kept: it changes with all that shapes an answer, and with nothing else.

Every field of every section is decided here: a new one fails until somebody says which it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tutelage.config import (
    AnthropicTeacherConfig,
    ClassifyConfig,
    EncoderTeacherConfig,
    EnsembleTeacherConfig,
    ExtractConfig,
    GenerateConfig,
    HumanTeacherConfig,
    JudgeConfig,
    LocalTeacherConfig,
    MemberConfig,
    OpenAITeacherConfig,
    PluginTeacherConfig,
    PriceConfig,
    PromptingConfig,
    Section,
    TransformersTeacherConfig,
    sections_in,
)
from tutelage.config.schema import ProgrammeConfig
from tutelage.config.teachers import EndpointConfig
from tutelage.labelling import LedgerKey
from tutelage.labelling.panel import Panel, open_panel
from tutelage.records import Gold, Prompt
from tutelage.tasks import Example, Prompting, RationaleMode, Task, task_from_config
from tutelage.teachers import TeacherContext, build_teacher

LABELS = {"card": "Of a card.", "refund": "Money back."}
TASK = task_from_config(ClassifyConfig(), LABELS)
TRAINING = [Gold(Prompt("1", "my card"), "card"), Gold(Prompt("2", "my money"), "refund")]
HERE = "http://127.0.0.1:1"

# Of each field another value than the base's, and beside it what else has to be said with it.
Changes = dict[str, Any]

ENDPOINT_SHAPES: Changes = {
    "model": "other",
    "base_url": "http://127.0.0.1:2",
    "structured": False,
    "samples": 3,
    "temperature": 0.5,
    "max_output_tokens": 10,
    "extra": {"reasoning_effort": "low"},
}
ENDPOINT_REST: Changes = {
    "rights": "mit-weights",
    "api_key_env": "OTHER_API_KEY",
    "price": PriceConfig(input=1.0, output=2.0, cached_input=0.5),
    "free": True,
    "timeout": 5.0,
    "headers": {"X-Title": "triage"},
    "batch": True,
}
BASES: dict[type[Section], Changes] = {
    EncoderTeacherConfig: {"model": "org/encoder", "rights": "own-model"},
    TransformersTeacherConfig: {"model": "org/model", "rights": "own-model"},
    LocalTeacherConfig: {"model": "org/model", "rights": "own-model"},
    OpenAITeacherConfig: {"model": "m", "rights": "own-model", "base_url": HERE},
    AnthropicTeacherConfig: {"model": "m", "rights": "own-model", "base_url": HERE},
    HumanTeacherConfig: {},
}
SHAPES: dict[type[Section], Changes] = {
    EncoderTeacherConfig: {"model": "org/other", "max_tokens": 7},
    TransformersTeacherConfig: {
        "model": "org/other",
        "mode": "zero-shot",
        "hypothesis": "It is {}.",
        "label_map": {"LABEL_0": "card"},
        "max_tokens": 7,
    },
    LocalTeacherConfig: {
        "model": "org/other",
        "choose": "generate",
        "samples": 3,
        "temperature": 0.5,
        "seed": 1,
        "max_input_tokens": 7,
        "max_output_tokens": 7,
        "dtype": "float32",
        "backend": "vllm",
        "engine": {"quantization": "fp8"},
        "structured": False,
    },
    OpenAITeacherConfig: {**ENDPOINT_SHAPES, "logprobs": False, "api": "azure", "api_version": "2024-10-21"},
    AnthropicTeacherConfig: ENDPOINT_SHAPES,
    HumanTeacherConfig: {},  # by what stands in the files: see test_human.py
}
REST: dict[type[Section], Changes] = {
    EncoderTeacherConfig: {"rights": "mit-weights", "batch_size": 2},
    TransformersTeacherConfig: {"rights": "mit-weights", "batch_size": 2},
    LocalTeacherConfig: {"rights": "mit-weights", "batch_size": 2},
    OpenAITeacherConfig: ENDPOINT_REST,
    AnthropicTeacherConfig: ENDPOINT_REST,
    HumanTeacherConfig: {
        "rights": "human",
        "verdicts": None,
        "reviewer": "who",
        "reasons": "why",
        "queue": "other.csv",
    },
}
ALONG: dict[str, Changes] = {
    "api": {"base_url": f"{HERE}/openai/v1"},
    "api_version": {"base_url": f"{HERE}/openai/v1", "api": "azure"},
    "engine": {"backend": "vllm"},
}


@pytest.fixture(autouse=True)
def vllm_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.teachers._vllm.find_spec", lambda name: True)


def key_of(config: Any, task: Task = TASK, **context: Any) -> LedgerKey:
    teacher = build_teacher(config, TeacherContext(task, TRAINING, Path("/nowhere"), **context))
    return LedgerKey.of(teacher, task)


def test_every_kind_of_teacher_and_every_field_is_decided() -> None:
    kinds = set(sections_in(ProgrammeConfig.model_fields["teacher"].annotation))
    assert kinds == {*BASES, EnsembleTeacherConfig, PluginTeacherConfig}  # a plugin's revision is its own
    for kind in BASES:
        assert not SHAPES[kind].keys() & REST[kind].keys()
        assert {"type", *SHAPES[kind], *REST[kind]} == set(kind.model_fields), kind.__name__
    assert set(EnsembleTeacherConfig.model_fields) == {"type", "strategy", "members", "judge"}
    assert set(MemberConfig.model_fields) == {"teacher", "weight"}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in BASES for name in SHAPES[kind]], ids=str)
def test_what_shapes_an_answer_changes_its_key(kind: type[Section], name: str) -> None:
    along = ALONG.get(name, {})
    base = kind(**BASES[kind] | along)
    assert key_of(base) != key_of(kind(**BASES[kind] | along | {name: SHAPES[kind][name]}))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in BASES for name in REST[kind]], ids=str)
def test_nothing_else_does(kind: type[Section], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = kind(**BASES[kind])
    assert key_of(base) == key_of(kind(**BASES[kind] | {name: REST[kind][name]}))


def test_the_key_itself_shapes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    base = OpenAITeacherConfig(**BASES[OpenAITeacherConfig])
    without = key_of(base)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert key_of(base) == without


@pytest.mark.parametrize("kind", [OpenAITeacherConfig, AnthropicTeacherConfig])
def test_headers_that_turn_a_behaviour_on_shape_answers(kind: type[EndpointConfig]) -> None:
    base = BASES[kind]
    plain, titled = key_of(kind(**base)), key_of(kind(**base, headers={"X-Title": "a"}))
    beta = key_of(kind(**base, headers={"anthropic-beta": "context-1m", "X-Title": "a"}))
    assert plain == titled != beta
    assert beta == key_of(kind(**base, headers={"Anthropic-Beta": "context-1m"}))
    assert beta != key_of(kind(**base, headers={"anthropic-beta": "other"}))


@pytest.mark.parametrize("kind", [OpenAITeacherConfig, LocalTeacherConfig])
def test_tokens_that_are_kept_are_part_of_the_key(kind: type[Section]) -> None:
    base = kind(**BASES[kind])
    assert len({key_of(base), key_of(base, top_k=1), key_of(base, top_k=2)}) == 3


ONE = {"teacher": {"type": "openai", **BASES[OpenAITeacherConfig]}}
OTHER = {"teacher": {"type": "openai", **BASES[OpenAITeacherConfig], "model": "n"}}
JUDGE = OTHER["teacher"] | {"model": "j"}


def panel_key(**settings: Any) -> LedgerKey:
    config = EnsembleTeacherConfig(**{"members": [ONE, OTHER], **settings})
    return LedgerKey.of(open_panel(config, TeacherContext(TASK, TRAINING, Path("/nowhere"))), TASK)


def test_of_an_ensemble_members_weights_strategy_and_judge_are() -> None:
    settings: list[Changes] = [
        {},
        {"strategy": "majority"},
        {"members": [ONE, OTHER | {"weight": 2.0}]},
        {"members": [ONE, {"teacher": JUDGE}]},
        {"members": [ONE, OTHER, {"teacher": JUDGE}]},
        {"strategy": "committee", "judge": JUDGE},
        {"strategy": "committee", "judge": JUDGE | {"temperature": 0.5}},
    ]
    assert len({panel_key(**given) for given in settings}) == len(settings)
    cheaper = {"teacher": ONE["teacher"] | {"timeout": 1.0, "rights": "mit-weights"}}
    assert panel_key() == panel_key(members=[cheaper, OTHER])


RECORD = {"type": "object", "properties": {"order": {"type": "string"}, "days": {"type": "integer"}}}
TASK_BASES: dict[type[Section], Changes] = {
    ClassifyConfig: {},
    ExtractConfig: {"record": RECORD},
    JudgeConfig: {"rubric": "Is it polite?", "scale": (1, 5)},
    GenerateConfig: {},
}
TASK_SHAPES: dict[type[Section], Changes] = {
    ClassifyConfig: {"instruction": "Sort it.", "multi_label": True, "out_of_scope": "card"},
    ExtractConfig: {
        "instruction": "Read it.",
        "record": {**RECORD, "properties": dict(reversed(RECORD["properties"].items()))},  # type: ignore[attr-defined]
    },
    JudgeConfig: {
        "instruction": "Weigh it.",
        "rubric": "Is it true?",
        "scale": (1, 4),
        "verdicts": ["yes", "no"],
        "reasons": "after",
    },
    GenerateConfig: {"instruction": "Write.", "max_characters": 100},
}
TASK_REST: dict[type[Section], Changes] = {
    ClassifyConfig: {"labels": None, "labels_file": None},  # resolved before: see below
    ExtractConfig: {"fields": {"days": {"compare": "ignore"}}, "record_file": None},
    JudgeConfig: {"tolerance": 1},
    GenerateConfig: {"similarity": 0.9},
}


def version(kind: type[Section], labels: dict[str, str] | None = None, **changes: Any) -> str:
    return task_from_config(kind(**TASK_BASES[kind] | changes), labels or LABELS).version  # type: ignore[arg-type]


def test_every_kind_of_task_and_every_field_is_decided() -> None:
    assert set(sections_in(ProgrammeConfig.model_fields["task"].annotation)) == set(TASK_BASES)
    for kind in TASK_BASES:
        assert not TASK_SHAPES[kind].keys() & TASK_REST[kind].keys()
        assert {"type", *TASK_SHAPES[kind], *TASK_REST[kind]} == set(kind.model_fields), kind.__name__
    assert set(PromptingConfig.model_fields) == {"instruction", "examples", "rationale", "seed"}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in TASK_BASES for name in TASK_SHAPES[kind]], ids=str
)
def test_what_a_task_asks_changes_its_version(kind: type[Section], name: str) -> None:
    changes = {name: TASK_SHAPES[kind][name]} | ({"scale": None} if name == "verdicts" else {})
    assert version(kind) != version(kind, **changes)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in TASK_BASES for name in TASK_REST[kind]], ids=str
)
def test_how_a_task_compares_does_not(kind: type[Section], name: str) -> None:
    assert version(kind) == version(kind, **{name: TASK_REST[kind][name]})


def test_labels_their_order_and_what_they_mean_are_part_of_the_version() -> None:
    given = [
        LABELS,
        dict(reversed(LABELS.items())),
        LABELS | {"other": ""},
        LABELS | {"card": "Of any card."},
        LABELS | {"card": ""},
    ]
    assert len({version(ClassifyConfig, labels) for labels in given}) == len(given)
    verdicts = [{"yes": "a", "no": "b"}, {"yes": "a", "no": "c"}, {"no": "b", "yes": "a"}]
    judged = {version(JudgeConfig, scale=None, verdicts=meaning) for meaning in verdicts}
    assert len(judged) == len(verdicts)


@pytest.mark.parametrize("kind", TASK_BASES, ids=lambda kind: kind.__name__)
def test_examples_and_reasons_are_part_of_the_version(kind: type[Section]) -> None:
    task = task_from_config(kind(**TASK_BASES[kind]), LABELS)  # type: ignore[arg-type]
    values = {"classify": "card", "judge": "3", "generate": "a", "extract": None}
    value: Any = values[task.kind] or task.parse('{"order": "a", "days": 1}').value
    asked = [
        Prompting(),
        Prompting((Example("a", value),)),
        Prompting((Example("b", value),)),
        Prompting((Example("b", value), Example("a", value))),
        Prompting((Example("a", value), Example("b", value))),
        Prompting(rationale=RationaleMode.AFTER),
        Prompting((Example("a", value),), RationaleMode.AFTER),
        Prompting(rationale=RationaleMode.BEFORE),
    ]
    assert len({task.with_prompting(prompting).version for prompting in asked}) == len(asked)
    assert task.with_prompting(Prompting(), "Otherwise.").version != task.version


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in TASK_BASES for name in TASK_REST[kind]], ids=str
)
def test_what_an_ensemble_makes_of_answers_follows_from_how_they_are_compared(
    kind: type[Section], name: str
) -> None:
    """Combining costs nothing, and no member is asked again for it."""

    def panel_of(**changes: Any) -> Panel:
        task = task_from_config(kind(**TASK_BASES[kind] | changes), LABELS)  # type: ignore[arg-type]
        config = EnsembleTeacherConfig(members=[ONE, OTHER])  # type: ignore[list-item]
        return open_panel(config, TeacherContext(task, TRAINING, Path("/nowhere")))

    one, other = panel_of(), panel_of(**{name: TASK_REST[kind][name]})
    compares = name in {"fields", "tolerance", "similarity"}
    assert (one.revision != other.revision) == compares
    assert [member.teacher.revision for member in one.members] == [
        member.teacher.revision for member in other.members
    ]
