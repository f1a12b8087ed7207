from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tutelage.config import ProgrammeConfig, parse_config, sections_in
from tutelage.errors import ConfigError

LEAST: dict[str, Any] = {
    "gold": {"path": "gold.csv", "training": {"share": 0.3}},
    "traffic": {"path": "traffic.csv"},
    "teacher": {"type": "encoder"},
}
TEACHERS: dict[str, dict[str, Any]] = {
    "encoder": {"type": "encoder"},
    "transformers": {"type": "transformers", "rights": "own-model", "model": "m"},
    "openai": {"type": "openai", "rights": "openai-api", "model": "m"},
    "plugin": {"type": "plugin", "rights": "own-model", "name": "mine"},
}


def _laid_over(**changes: Any) -> dict[str, Any]:
    """The least file with `section__key=value` laid over it."""
    content: dict[str, Any] = {**LEAST}
    for name, value in changes.items():
        *sections, last = name.split("__")
        place = content
        for section in sections:
            place[section] = dict(place.get(section) or {})
            place = place[section]
        place[last] = value
    return content


def _fault(content: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(content, "tutelage.yaml")
    text = str(caught.value)
    assert text.startswith("tutelage.yaml:\n  ")
    return text


@pytest.mark.parametrize(
    ("changes", "key", "nearest"),
    [
        ({"studnet": {}}, "studnet", "student"),
        ({"max_loss": 0.1}, "max_loss", "release.max_loss"),
        ({"share": 0.1}, "share", "gold.training.share"),
        ({"task__lables": ["a", "b"]}, "task.lables", "labels"),
        ({"gold__pth": "x"}, "gold.pth", "path"),
        ({"gold__training__shard": 0.2}, "gold.training.shard", "share"),
        ({"gold__columns__txt": "x"}, "gold.columns.txt", "text"),
        ({"gold__margn": 0.1}, "gold.margn", "margin"),
        ({"student__temprature": 2}, "student.temprature", "temperature"),
        ({"student__budget": 2}, "student.budget", "labelling.budget"),
        ({"teacher__modle": "x"}, "teacher.modle", "model"),
        ({"rights__override": {"nmae": "Ada Counsel"}}, "rights.override[number 1].nmae", "name"),
        ({"rights__override": {"entri": "xai-api"}}, "rights.override[number 1].entri", "entry"),
    ],
)
def test_an_unknown_key_names_the_nearest(changes, key, nearest):
    assert f"\n  {key}: unknown key. Did you mean {nearest!r}?" in _fault(_laid_over(**changes))


def test_a_key_like_no_other_is_only_said_to_be_unknown():
    assert _fault(_laid_over(zzzzqqqq=1)).endswith("\n  zzzzqqqq: unknown key.")


@pytest.mark.parametrize("key", ["price", "temperature", "structured", "hypothesis", "options"])
def test_a_key_of_another_teacher_is_not_proposed_for_itself(key):
    # Nor any other key that the type of teacher chosen doesn't have.
    text = _fault(_laid_over(**{f"teacher__{key}": 1}))
    assert f"teacher.{key}: unknown key" in text
    assert f"mean {key!r}" not in text


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"gold__training__share": 1.0}, "gold.training", "leaves nothing to seal"),
        ({"gold__training__share": 0}, "gold.training.share", "greater than 0 (given: 0)"),
        ({"gold__margin": 0.5}, "gold.margin", "less than 0.5 (given: 0.5)"),
        ({"gold__expected_accuracy": 90}, "gold.expected_accuracy", "less than or equal to 1; as a share that is 0.9 (given: 90)"),
        ({"gold__limit": 0}, "gold.limit", "greater than 0"),
        ({"gold__format": "xlsx"}, "gold.format", "'langfuse' or 'litellm' (given: 'xlsx')"),
        ({"gold__columns__separator": ""}, "gold.columns.separator", "at least 1 character"),
        ({"traffic__near_duplicate": 1.01}, "traffic.near_duplicate", "less than or equal to 1"),
        ({"task__type": "extrct"}, "task.type", "'extrct' is no kind of task; one of 'classify', 'extract', "),
        ({"task__type": "extrct"}, "task.type", "Did you mean 'extract'?"),
        ({"task__type": 3}, "task.type", "3 is no kind of task; one of 'classify'"),
        ({"task__labels": ["a", "b", "a"]}, "task.labels", "a label stands twice"),
        ({"task__labels": ["1", 1]}, "task.labels", "a label stands twice"),
        ({"task__labels": ["a"]}, "task", "labels has 1; two are the least"),
        ({"task__labels": {}}, "task", "labels has 0; two are the least"),
        ({"task__labels": "a, b"}, "task.labels", "(given: 'a, b')"),
        (
            {"task__labels": ["a", "b"], "task__labels_file": "l.txt"},
            "task",
            "give labels or labels_file, not both",
        ),
        (
            {"task__labels": ["a", "b"], "task__out_of_scope": "c"},
            "task",
            "out_of_scope 'c' is not among labels",
        ),
        ({"rights__distribution": "sold"}, "rights.distribution", "'internal' or 'distributed'"),
        (
            {"rights__override": {"entry": "xai-api", "name": "A", "reason": "because"}},
            "rights.override[number 1].name",
            "at least 2 characters",
        ),
        (
            {"rights__override": {"entry": "xai-api", "name": "Ada", "reason": "because"}},
            "rights.override[number 1].reason",
            "at least 10 characters",
        ),
        ({"labelling__budget": -1}, "labelling.budget", "greater than or equal to 0 (given: -1)"),
        ({"labelling__budget": float("nan")}, "labelling.budget", "finite number (given: nan)"),
        ({"labelling__budget": float("inf")}, "labelling.budget", "finite number (given: inf)"),
        ({"labelling__concurrency": 0}, "labelling.concurrency", "greater than or equal to 1"),
        ({"labelling__attempts": 1.5}, "labelling.attempts", "(given: 1.5)"),
        ({"student__name": "../out"}, "student.name", "(given: '../out')"),
        ({"student__name": "Upper"}, "student.name", "(given: 'Upper')"),
        ({"student__name": "line\n"}, "student.name", "(given: 'line\\n')"),
        ({"student__validation": 1}, "student.validation", "less than 1"),
        (
            {"student__hidden_size": 312},
            "student",
            "needs hidden_size, heads and intermediate_size together",
        ),
        (
            {"student__hidden_size": 312, "student__heads": 5, "student__intermediate_size": 1200},
            "student",
            "hidden_size 312 is no multiple of heads 5",
        ),
        (
            {"student__family": "static", "student__layers": 2},
            "student",
            "layers belongs to family encoder or causal or seq2seq, not static",
        ),
        (
            {"student__family": "static", "student__base": "x", "student__template": "own"},
            "student",
            "base belongs to family encoder or causal or seq2seq, not static",
        ),
        ({"student__recipe": "sequence"}, "student", "recipe sequence teaches family causal or seq2seq, not encoder"),
        (
            {"student__family": "causal", "student__recipe": "step-by-step"},
            "student",
            "recipe step-by-step teaches family seq2seq, not causal",
        ),
        (
            {"student__family": "causal", "student__temperature": 2.0, "student__hard_weight": 0.1},
            "student",
            "hard_weight belongs to recipe soft-targets or",
        ),
        (
            {"student__family": "causal", "student__rationale": "after"},
            "student",
            "rationale belongs to recipe rationale-causal, not sequence",
        ),
        ({"student__members": 2}, "student", "members belongs to family static, not encoder"),
        ({"student__template": "own"}, "student", "template belongs to family causal or seq2seq, not encoder"),
        (
            {"student__family": "seq2seq", "student__base": "x", "student__lora": {}},
            "student",
            "lora belongs to family causal, not seq2seq",
        ),
        ({"student__family": "seq2seq"}, "student", "family seq2seq needs base"),
        ({"student__family": "causal", "student__lora": {"rank": 0}}, "student.lora.rank", "greater than or equal to 1"),
        (
            {"task": {"multi_label": True}, "student": {"family": "causal"}},
            "the file",
            "student.family is causal, which weighs one label against the others, and task.multi_label",
        ),
        ({"student__control": "gold", "gold": {"path": "g"}, "teacher": TEACHERS["openai"]}, "the file",
         "student.control is gold, and gold.training is absent. Mend:"),
        ({"gold": {"path": "g"}}, "the file", "a teacher is of type encoder, whose head is fitted on gold.training"),
        ({"release__max_loss": 1}, "release.max_loss", "less than 1"),
        ({"release__max_size_mb": 0}, "release.max_size_mb", "greater than 0"),
        ({"teacher__max_tokens": 0}, "teacher.max_tokens", "greater than 0"),
        (
            {"teacher": {**TEACHERS["transformers"], "hypothesis": "about"}},
            "teacher.hypothesis",
            "needs exactly one {}",
        ),
        (
            {"teacher": {**TEACHERS["transformers"], "hypothesis": "{} {}"}},
            "teacher.hypothesis",
            "needs exactly one {}",
        ),
        (
            {"teacher": {**TEACHERS["openai"], "base_url": "ftp://x"}},
            "teacher.base_url",
            "'ftp://x' must start with http:// or https://",
        ),
        ({"teacher": {**TEACHERS["openai"], "base_url": "https://"}}, "teacher.base_url", "'https://'"),
        ({"teacher": {**TEACHERS["openai"], "base_url": "http:///v1"}}, "teacher.base_url", "'http:///v1'"),
        ({"teacher": {**TEACHERS["openai"], "base_url": "http://[::1/v1"}}, "teacher.base_url", "Invalid IPv6 URL"),
        ({"teacher": {"type": "encoder", "model": "other"}}, "teacher",
         "model is 'other', and rights is absent. Mend: name the entry"),
        ({"rights__override": {"name": "Ada", "reason": "it is allowed"}}, "rights.override[number 1].entry", "needed, and absent"),
        ({"labelling__max_failed_share": 1.5}, "labelling.max_failed_share", "(given: 1.5)"),
        ({"teacher": {**TEACHERS["openai"], "samples": 65}}, "teacher.samples", "less than or equal to 64"),
        (
            {"teacher": {**TEACHERS["openai"], "price": {"input": 1}}},
            "teacher.price.output",
            "needed, and absent",
        ),
        ({"teacher": {"type": "openai", "model": "m"}}, "teacher.rights", "needed, and absent"),
        ({"traffic": {}}, "traffic", "path is needed, and absent"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_key_its_limit_and_what_was_given(changes, key, message):
    text = _fault(_laid_over(**changes))
    assert f"\n  {key}: " in text
    assert message in text


def test_all_faults_are_told_at_once():
    text = _fault({"gold": {}, "traffic": 3, "teacher": TEACHERS["encoder"], "studnet": {}})
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == [
        "gold.path",
        "traffic",
        "studnet",
    ]


def test_a_long_value_is_shown_cut():
    text = _fault(_laid_over(gold__margin="x" * 10_000))
    assert len(text) < 300 and "xxx..." in text


@pytest.mark.parametrize("labels", [[True, False], ["a", None], ["a", 1.5]])
def test_labels_that_yaml_reads_as_something_else_are_not_respelled(labels):
    # `labels: [yes, no]` would become True and False, which no row of gold holds.
    assert "task.labels" in _fault(_laid_over(task__labels=labels))


def test_a_list_of_labels_is_a_map_without_descriptions():
    assert parse_config(_laid_over(task__labels=["b", "a", 3]), "x").task.labels == {
        "b": "",
        "a": "",
        "3": "",
    }


@pytest.mark.parametrize("content", [None, [], "text", 3, {1: 2}, {None: {}}, {"gold": LEAST["gold"]}])
def test_what_is_no_map_of_sections_is_refused(content):
    _fault(content)


@pytest.mark.parametrize("teacher", [{"type": "opneai"}, {"type": None}, {"type": 3}, {}, {"model": "m"}])
def test_a_teacher_of_no_known_type_is_told_which_there_are(teacher):
    # Also where `type` was forgotten.
    text = _fault(_laid_over(teacher=teacher))
    assert "\n  teacher" in text and "type" in text
    for name in TEACHERS:
        assert repr(name) in text


def test_faults_of_a_teacher_do_not_name_its_type_as_a_section():
    text = _fault(_laid_over(teacher={"type": "openai", "modle": "m", "rights": "r", "price": {"in": 1}}))
    assert "openai" not in text
    assert "teacher.modle: unknown key. Did you mean 'model'?" in text
    assert "teacher.price.in: unknown key. Did you mean 'input'?" in text


def test_a_teacher_that_is_no_section_is_refused():
    assert "\n  teacher: " in _fault(_laid_over(teacher="openai"))


@pytest.mark.parametrize("name", TEACHERS)
def test_every_default_is_itself_valid(name):
    config = parse_config(_laid_over(teacher=TEACHERS[name]), "x")
    assert parse_config(config.model_dump(mode="json"), "x") == config
    assert parse_config(config.model_dump(), "x") == config


def test_a_slash_at_the_end_of_an_address_is_dropped():
    teacher = {**TEACHERS["openai"], "base_url": "http://127.0.0.1:8000/v1/"}
    assert parse_config(_laid_over(teacher=teacher), "x").teacher.base_url == "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://127.0.0.1:8000/v1", ""),
        ("http://127.8.8.8/v1", ""),
        ("http://[::1]:8000/v1", ""),
        ("http://LOCALHOST/v1", ""),
        ("https://API.OpenAI.com/v1", "api.openai.com"),
        ("https://eu.api.x.ai:8443/v1", "eu.api.x.ai"),
        ("http://127.0.0.1.example.org/v1", "127.0.0.1.example.org"),
        ("http://localhost.example.org/v1", "localhost.example.org"),
        ("http://0.0.0.0/v1", "0.0.0.0"),
        # The dot of the root names the same machine, so it must not slip past the rights gate.
        ("https://api.openai.com./v1", "api.openai.com"),
    ],
)
def test_whose_terms_bind_an_address_follows_from_its_host(address, host):
    teacher = {**TEACHERS["openai"], "base_url": address}
    assert parse_config(_laid_over(teacher=teacher), "x").teacher.remote_host == host


@pytest.mark.parametrize("rest", ["user:sk-1@host/v1", "sk-1@host", "host/v1?key=sk-1", "host/v1#sk-1"])
def test_an_address_that_holds_a_secret_is_refused_without_repeating_it(rest):
    text = _fault(_laid_over(teacher={**TEACHERS["openai"], "base_url": f"https://{rest}"}))
    assert "teacher.base_url: " in text and "api_key_env" in text
    assert "sk-1" not in text


@pytest.mark.parametrize(
    ("training", "share"),
    [
        ({}, 0.3),
        ({"share": 0.5}, 0.5),
        ({"path": "more.csv"}, 1.0),
        ({"path": "more.csv", "share": 0.1}, 0.1),
    ],
)
def test_of_a_training_file_all_is_taken_and_of_golds_own_a_part(training, share):
    assert parse_config(_laid_over(gold__training=training), "x").gold.training.share_taken == share


@pytest.mark.parametrize(
    ("student", "run"),
    [
        ({}, "encoder-3"),
        ({"layers": 2}, "encoder-2"),
        ({"family": "static"}, "static"),
        ({"family": "static", "name": "tiny.1"}, "tiny.1"),
    ],
)
def test_a_run_is_named_after_its_student(student, run):
    assert parse_config(_laid_over(student=student), "x").student.run == run


def _sections(section) -> set[type[BaseModel]]:
    found = {section}
    for field in section.model_fields.values():
        for below in sections_in(field.annotation):
            found |= _sections(below)
    return found


def test_nothing_can_be_changed_once_it_is_read():
    config = parse_config(LEAST, "x")
    with pytest.raises(ValidationError, match="frozen"):
        config.student.family = "static"
    with pytest.raises(ValidationError, match="frozen"):
        config.gold = None
    sections = _sections(ProgrammeConfig)
    assert len(sections) >= 15
    assert [section for section in sections if not section.model_config.get("frozen")] == []
    assert [section for section in sections if section.model_config.get("extra") != "forbid"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gold": "gold.csv"}, "gold: Should be a section"),
        ({"release": {"min_accuracy": 95}}, "as a share that is 0.95"),
        ({"teacher": {"type": "encodr"}}, "'encodr' is no kind of teacher; one of .* Did you mean 'encoder'"),
        ({"teacher": {}}, "teacher.type: Field required; one of 'anthropic', 'encoder'"),
    ],
)
def test_faults_are_told_in_the_words_of_the_file(changes, words):
    content = {"gold": {"path": "g", "training": {"share": 0.3}}, "traffic": {"path": "t"}}
    with pytest.raises(ConfigError, match=words):
        parse_config(content | {"teacher": {"type": "encoder"}} | changes, "tutelage.yaml")


JUDGE = {"type": "judge", "rubric": "Is it polite?"}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"type": "extract"}, "task: neither of record and record_file"),
        ({"type": "extract", "record": {}, "record_file": "r.json"}, "task: both of record and record_file"),
        ({"type": "extract", "recrd": {}}, r"task\.recrd: unknown key\. Did you mean 'record'"),
        ({"type": "extract", "labels": ["a", "b"]}, r"task\.labels: unknown key"),
        ({"type": "extract", "record": {}, "fields": {"a": {"compar": "set"}}}, r"task\.fields\.a\.compar: unknown key"),
        ({"type": "extract", "record": {}, "fields": {"a": {"compare": "sets"}}}, r"task\.fields\.a\.compare: "),
        (JUDGE, "task: neither of verdicts and scale"),
        ({**JUDGE, "verdicts": ["a", "b"], "scale": [1, 5]}, "task: both of verdicts and scale"),
        ({**JUDGE, "verdicts": ["a"]}, "verdicts has 1; two are the least"),
        ({**JUDGE, "verdicts": [True, False]}, r"task\.verdicts: a label is read as True"),
        ({**JUDGE, "verdicts": ["a", "b"], "tolerance": 1}, "tolerance belongs to scale"),
        ({**JUDGE, "scale": [5, 1]}, "scale goes from 5 to 1; the lowest score comes first"),
        ({**JUDGE, "scale": [1, 1000]}, "scale has 1,000 scores; 101 are the most"),
        ({**JUDGE, "scale": [1, 3], "tolerance": 2}, "lets all scores of the scale agree"),
        ({"type": "judge", "scale": [1, 5]}, r"task\.rubric: needed, and absent"),
        ({**JUDGE, "rubrik": "x"}, r"task\.rubrik: unknown key\. Did you mean 'rubric'"),
        ({"type": "generate", "max_chars": 3}, r"task\.max_chars: unknown key\. Did you mean 'max_characters'"),
        ({"type": "generate", "similarity": 60}, "as a share that is 0.6"),
        ({"type": "sumarize"}, "'sumarize' is no kind of task; one of 'classify', 'extract', 'generate', 'judge'"),
        ("classify", r"task: Should be a section, .*\(given: 'classify'\)"),
    ],
)  # fmt: skip
def test_faults_of_a_task_are_told_by_its_kind(task, words):
    text = _fault(_laid_over(task=task))
    assert re.search(words, text), text


def test_each_kind_of_task_is_read():
    for task in (
        {"type": "extract", "record": {"type": "object"}, "fields": {"a.b": {"tolerance": 0.1}}},
        {**JUDGE, "verdicts": {"yes please": "it is", "no thanks": "it isn't"}},
        {**JUDGE, "scale": [-1, 1], "tolerance": 1, "reasons": "after"},
        {"type": "generate", "max_characters": 10},
        {"labels": ["a", "b"]},
    ):
        assert parse_config(_laid_over(task=task), "x").task.type == task.get("type", "classify")


MEMBER = {"teacher": {"type": "encoder"}}
ASKED = {"type": "openai", "rights": "own-model", "model": "m"}


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (
            {"members": [MEMBER, {"teacher": ASKED | {"modle": "x"}}]},
            r"teacher\.members\[number 2\]\.teacher\.modle: unknown key\. Did you mean 'model'",
        ),
        (
            {"members": [{"teacher": ASKED | {"price": {"inptu": 1}}}, MEMBER]},
            r"teacher\.members\[number 1\]\.teacher\.price\.inptu: unknown key\. Did you mean 'input'",
        ),
        (
            {"members": [{"teacher": ASKED | {"samples": 0}}, MEMBER]},
            r"teacher\.members\[number 1\]\.teacher\.samples: Input should be greater.*given: 0",
        ),
        (
            {"members": [MEMBER | {"wieght": 2}, MEMBER]},
            r"\[number 1\]\.wieght: unknown key\. Did you mean 'weight'",
        ),
        ({"members": [MEMBER, {"weight": 2}]}, r"teacher\.members\[number 2\]\.teacher: needed, and absent"),
        (
            {"members": [MEMBER, {"teacher": {"type": "openia"}}]},
            r"teacher\.members\[number 2\]\.teacher\.type: 'openia' is no kind of teacher.*Did you mean 'openai'",
        ),
        (
            {"members": [MEMBER, {"teacher": {"type": "ensemble"}}]},
            r"'ensemble' is no kind of teacher; one of 'anthropic', 'encoder', 'human'",
        ),
        ({"members": [MEMBER, {"teacher": "encoder"}]}, r"\[number 2\]\.teacher: Should be a section"),
        (
            {"members": [MEMBER, MEMBER], "judge": ASKED | {"samples": "many"}, "strategy": "committee"},
            r"teacher\.judge\.samples: Input should be a valid integer.*given: 'many'",
        ),
    ],
)
def test_faults_inside_an_ensemble_name_the_key_as_it_is_written(teacher, words):
    text = _fault(_laid_over(teacher={"type": "ensemble", **teacher}))
    assert re.search(words, text), text
    assert "ensemble." not in text and ".openai." not in text


@pytest.mark.parametrize(
    "wrong",
    [{"api_key_env": ["sk-1"]}, {"headers": {"X-A": ["sk-1"]}}, {"headers": "sk-1"}, {"extra": "sk-1"}],
)
def test_what_may_be_a_secret_is_not_shown(wrong):
    text = _fault(_laid_over(teacher=ASKED | wrong))
    assert "sk-1" not in text and f"teacher.{next(iter(wrong))}" in text
