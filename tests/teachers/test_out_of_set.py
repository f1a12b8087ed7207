"""Classification models with outputs that are no label of the task, or several for one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tutelage.config import TransformersTeacherConfig
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext

pytest.importorskip("torch")
pytest.importorskip("transformers")

TASK = Classify(("refund", "card"))
MULTI = Classify(TASK.labels, multi_label=True)


def teacher_saying(
    outputs: dict[str, list[float]], task: Classify = TASK, **settings: Any
) -> tuple[Any, list[Prompt]]:
    """A teacher whose model has these outputs, with their probability for each prompt; and the prompts."""
    from tutelage.teachers.transformers import TransformersTeacher

    config = TransformersTeacherConfig(rights="own", model="some/model", **settings)
    teacher = TransformersTeacher(config, TeacherContext(task, (), Path()))
    shares = np.array(list(outputs.values()), dtype=np.float64).T
    logits = np.log(shares / (1 - shares)) if task.multi_label else np.log(shares)
    teacher.__dict__["_model"] = (
        None,
        SimpleNamespace(config=SimpleNamespace(id2label=dict(enumerate(outputs)))),
    )
    teacher._logits = lambda texts, pairs: logits.astype(np.float32)  # type: ignore[method-assign]
    return teacher, [Prompt(str(row), f"text {row}") for row in range(len(shares))]


def answers_of(teacher: Any, prompts: list[Prompt]) -> list[Answer]:
    return asyncio.run(teacher.answer(prompts))


def test_an_answer_that_is_no_label_of_the_task_is_out_of_set() -> None:
    teacher, prompts = teacher_saying({"card": [0.3, 0.3], "other": [0.5, 0.2], "refund": [0.2, 0.5]})
    stranger, known = answers_of(teacher, prompts)
    assert (stranger.status, stranger.value, stranger.raw) == (AnswerStatus.OUT_OF_SET, None, "other")
    assert (stranger.distribution, stranger.origin) == (None, DistributionOrigin.NONE)
    assert "label_map" in stranger.reason and stranger.usage.calls == 1
    assert (known.status, known.value) == (AnswerStatus.OK, "refund")
    assert known.distribution is not None
    np.testing.assert_allclose(known.distribution, [0.5 / 0.8, 0.3 / 0.8], atol=1e-6)
    found = teacher.predict([prompt.text for prompt in prompts])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.4, 0.6], [0.5 / 0.8, 0.3 / 0.8]], atol=1e-6)


def test_outputs_of_one_label_share_it() -> None:
    """Together they beat an output that each of them alone would lose to."""
    outputs = {"money back": [0.3], "card": [0.1], "refund": [0.25], "other": [0.35]}
    teacher, prompts = teacher_saying(outputs, label_map={"money back": "refund"})
    [answer] = answers_of(teacher, prompts)
    assert (answer.status, answer.value) == (AnswerStatus.OK, "refund")
    assert answer.distribution is not None
    np.testing.assert_allclose(answer.distribution, [0.55 / 0.65, 0.1 / 0.65], atol=1e-6)


def test_independent_labels_take_the_largest_of_their_outputs_and_ignore_strangers() -> None:
    outputs = {"money back": [0.3, 0.6], "card": [0.1, 0.7], "refund": [0.2, 0.1], "other": [0.9, 0.9]}
    teacher, prompts = teacher_saying(outputs, MULTI, label_map={"money back": "refund"})
    first, second = answers_of(teacher, prompts)
    assert (first.value, second.value) == ((), ("card", "refund"))
    assert second.distribution is not None
    np.testing.assert_allclose(second.distribution, [0.6, 0.7], atol=1e-6)
