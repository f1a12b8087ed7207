"""Answers that are no answers: each is kept as it came, with a reason, and none becomes a label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from killable import TASK, prompts_of, teacher_of
from labelling_runs import LONG, key_for

from faulty_teacher import OUTCOMES, FaultyTeacher
from tutelage.config import LabellingConfig
from tutelage.labelling import AnswerLedger, export_answers, label
from tutelage.records import AnswerStatus

COUNT = 1_000 if LONG else 20
OF_EACH = {"huge": 1_000 if LONG else 3}  # 10 MB each
KINDS = {
    "malformed": AnswerStatus.UNPARSEABLE,
    "truncated": AnswerStatus.UNPARSEABLE,
    "empty": AnswerStatus.UNPARSEABLE,
    "blank": AnswerStatus.UNPARSEABLE,
    "null": AnswerStatus.UNPARSEABLE,
    "prose": AnswerStatus.UNPARSEABLE,
    "wrong schema": AnswerStatus.UNPARSEABLE,
    "wrong type": AnswerStatus.UNPARSEABLE,
    "duplicate keys": AnswerStatus.UNPARSEABLE,
    "not a number": AnswerStatus.UNPARSEABLE,
    "invalid utf-8": AnswerStatus.UNPARSEABLE,
    "huge": AnswerStatus.UNPARSEABLE,
    "lone surrogate": AnswerStatus.OUT_OF_SET,
    "out of set": AnswerStatus.OUT_OF_SET,
    "other case": AnswerStatus.OUT_OF_SET,
    "refusal": AnswerStatus.REFUSED,
    "refusal in words": AnswerStatus.REFUSED,
    "filtered answer": AnswerStatus.REFUSED,
}
NOTHING_TO_KEEP = {"empty", "null", "filtered answer", "huge"}  # of the last too little to be worth a disk


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_answers_are_quarantined_with_a_reason(
    tmp_path: Path, faulty_teacher: FaultyTeacher, kind: str
) -> None:
    faulty_teacher.default = OUTCOMES[kind]()
    faulty_teacher.records = False
    prompts = prompts_of(OF_EACH.get(kind, COUNT))
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        config = LabellingConfig(wait=0.001, concurrency=16)
        report = label(prompts, teacher_of(faulty_teacher.url), TASK, ledger, config)
        assert report.by_status == {KINDS[kind]: len(prompts)}
        assert report.failed == 0
        answers = ledger.get_many(key_for(faulty_teacher.url), [prompt.hash for prompt in prompts])
        exported = export_answers(prompts, ledger, key_for(faulty_teacher.url), TASK, {})
    assert len(answers) == len(prompts)
    for answer in answers.values():
        assert answer.value is None and answer.distribution is None and answer.reason
        assert answer.raw or kind in NOTHING_TO_KEEP
        assert len(answer.raw) <= 1 << 17
        assert answer.usage.cost > 0, "it was paid for"
    assert exported.column("value").null_count == len(prompts)
    print(f"{len(prompts)} {kind}: {next(iter(answers.values())).reason[:100]}")


def test_a_mix_of_good_and_malformed_answers_is_sorted_without_a_mistake(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    prompts = prompts_of(len(KINDS) * (50 if LONG else 4) * 2)
    expected = {}
    for number, prompt in enumerate(prompts):
        kind = list(KINDS)[number // 2 % len(KINDS)]
        if number % 2 and kind != "huge":
            faulty_teacher.script(prompt.text, [kind] * 10)
            expected[prompt.hash] = KINDS[kind]
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        config = LabellingConfig(wait=0.001, concurrency=16)
        label(prompts, teacher_of(faulty_teacher.url), TASK, ledger, config)
        answers = ledger.get_many(key_for(faulty_teacher.url), [prompt.hash for prompt in prompts])
    for prompt in prompts:
        answer = answers[prompt.hash]
        assert answer.status == expected.get(prompt.hash, AnswerStatus.OK)
        wanted = json.loads(faulty_teacher.answer_to(prompt.text))["label"]
        assert answer.value == (None if prompt.hash in expected else wanted)


def test_another_model_than_the_one_asked_is_flagged_and_kept(
    tmp_path: Path, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.default = OUTCOMES["wrong model"]()
    prompts = prompts_of(20)
    with AnswerLedger(tmp_path / "a.sqlite") as ledger:
        report = label(prompts, teacher_of(faulty_teacher.url), TASK, ledger, LabellingConfig())
        answers = ledger.get_many(key_for(faulty_teacher.url), [prompt.hash for prompt in prompts])
    assert report.other_models == {"other-2": 20} and report.by_status == {"ok": 20}
    assert {answer.model for answer in answers.values()} == {"other-2"}
