"""What students say, and what is kept of it."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.records import AnswerStatus, Fields
from tutelage.stages.predictions import Kept, predicting, predictions
from tutelage.students import Written
from tutelage.tasks import Classify, Extract, Generate, Parsed

RECORD = Extract({"type": "object", "properties": {"about": {"type": "string"}}})


class Typist:
    """A student that writes what its texts say, and now and then is stopped."""

    family, parameters = "causal", 1

    def __init__(self, stops_after: int = 10**9) -> None:
        self.asked: list[str] = []
        self._left = stops_after

    def write(self, texts, *, max_new_tokens=None):
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        self.asked += texts
        return [Written(text, float(np.log(0.25)), (1,), True) for text in texts]

    def sample(self, texts, *, samples, temperature, seed, max_new_tokens=None):
        raise NotImplementedError

    def read(self, text, task):
        return task.parse(text)

    def answers(self, texts, task):
        return [self.read(text, task) for text in texts]

    def save(self, folder):
        raise NotImplementedError


def test_what_is_written_is_read_by_the_task_and_what_cannot_be_is_none():
    said = predictions(Typist(), RECORD, ['{"about": "x"}', "nothing", '{"about": 1}'])
    assert said.values == [Fields({"about": "x"}), None, None]
    assert said.confidence == pytest.approx([0.25] * 3) and said.distributions is None


def test_an_evaluation_that_was_stopped_goes_on_where_it_was(tmp_path):
    texts = [f"text {row}" for row in range(200)]
    stopped = Typist(stops_after=2)
    with pytest.raises(KeyboardInterrupt):
        predictions(stopped, Generate(), texts, kept=Kept(tmp_path, "weights"))
    again = Typist()
    said = predictions(again, Generate(), texts, kept=Kept(tmp_path, "weights"))
    assert stopped.asked + again.asked == texts and again.asked == texts[128:]
    assert said.values == texts and said.confidence == pytest.approx(np.full(200, 0.25))
    for task, weights in ((Generate(max_characters=50), "weights"), (Generate(), "others")):
        other = Typist()
        predictions(other, task, texts, kept=Kept(tmp_path, weights))
        assert other.asked == texts


def test_what_is_kept_and_damaged_is_said_again(tmp_path):
    predictions(Typist(), Generate(), ["a"], kept=Kept(tmp_path, "w"))
    [path] = tmp_path.iterdir()
    for damage in ("", "{}", '{"values": 1, "distributions": null, "confidence": null}'):
        path.write_text(damage)
        student = Typist()
        assert predictions(student, Generate(), ["a"], kept=Kept(tmp_path, "w")).values == ["a"]
        assert student.asked == ["a"]


class Labeller:
    """A student of labels."""

    family, labels, multi_label, parameters = "static", ("a", "b"), False, 1

    def predict(self, texts):
        return np.array([[0.75, 0.25] if text < "m" else [0.125, 0.875] for text in texts], dtype=np.float32)

    def save(self, folder):
        raise NotImplementedError


class Reasoner(Typist, Labeller):
    """One that writes, and weighs labels."""


def test_labels_are_decided_by_probabilities_and_kept_of_those_that_write(tmp_path):
    task, texts = Classify(("a", "b")), ["f", "z"] * 100
    said = predictions(Labeller(), task, texts, kept=Kept(tmp_path / "labels", "w"))
    assert said.values == ["a", "b"] * 100 and said.distributions.shape == (200, 2)
    assert said.confidence is None and not (tmp_path / "labels").exists()
    first = predictions(Reasoner(), task, texts, kept=Kept(tmp_path, "w"))
    second = predictions(Reasoner(), task, texts, kept=Kept(tmp_path, "w"))
    assert (first.distributions == second.distributions).all() and second.distributions.dtype == np.float32
    assert second.values == said.values


def test_what_is_timed_is_what_answers():
    assert predicting(Labeller(), Classify(("a", "b")))(["a"]).shape == (1, 2)
    [written] = predicting(Typist(), Generate())(["a"])
    assert written.text == "a"
    assert Parsed(AnswerStatus.OK, "a") == Typist().answers(["a"], Generate())[0]


def test_no_texts_are_no_predictions():
    assert predictions(Typist(), Generate(), []).values == []
