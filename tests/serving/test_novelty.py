import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from sklearn.feature_extraction.text import TfidfTransformer

from tutelage.errors import DataError, IntegrityError, UsageError
from tutelage.serving import Novelty, read_novelty
from tutelage.students.static import Features

_SUBJECTS = "parcel invoice card password refund courier account payment price order".split()
_FRAMES = (
    "where is my {}",
    "there is a problem with the {} of {}",
    "please tell me about a {} and the {}",
    "why was my {} changed",
)
OWN = sorted(
    {
        frame.format(one, other)
        for frame in _FRAMES
        for one in _SUBJECTS
        for other in _SUBJECTS
        if one != other
    }
)
FOREIGN = (
    "play some jazz in the kitchen",
    "set an alarm for half past six",
    "zzz",
    "",
    "¿qué hora es?",
    "🎉🎉",
)


@pytest.fixture(scope="module")
def guard():
    return Novelty.fit(OWN, 0.01)


def test_it_lets_its_own_pass_and_tells_others(guard):
    assert np.mean([guard.foreign(text) for text in OWN]) < 0.03
    assert all(guard.foreign(text) for text in FOREIGN)


def test_the_score_is_one_minus_the_mean_cosine_of_the_nearest(guard):
    """Against scikit-learn's weights, its idf taken as ours: ln((2 + n) / (1 + df))."""
    features, texts = Features(), OWN[:60]
    made = Novelty.fit(texts, 0.1, seed=4)
    order = np.random.default_rng(4).permutation(len(texts))
    landmarks = [texts[row] for row in order[:40]]
    judged = "where is my parcel, the parcel of quartz"
    names = sorted({name for text in (*landmarks, judged) for name in features.of(text)})
    counts = np.array([[features.of(text).count(name) for name in names] for text in (*landmarks, judged)])
    weighed = TfidfTransformer(norm=None, use_idf=False, sublinear_tf=True).fit_transform(counts).toarray()
    weighed *= np.log((2 + len(landmarks)) / (1 + (counts[:-1] > 0).sum(axis=0)))
    weighed /= np.linalg.norm(weighed, axis=1, keepdims=True)
    cosines = weighed[:-1] @ weighed[-1]
    assert made.score(judged) == pytest.approx(1 - np.sort(cosines)[-5:].mean(), abs=1e-5)


def test_the_limit_bears_out_on_new_texts_of_the_same_kind():
    """A split conformal quantile: over many fits the share of own texts told is what was asked, or less."""
    generator = np.random.default_rng(2)
    told = []
    for seed in range(20):
        texts = generator.permutation(OWN)
        guard = Novelty.fit(list(texts[:150]), 0.1, seed)
        told.append(np.mean([guard.foreign(text) for text in texts[150:]]))
    assert np.mean(told) < 0.1 + 3 * np.std(told) / math.sqrt(len(told))


def test_what_is_written_is_read_again(guard, tmp_path):
    guard.save(tmp_path / "guard.safetensors")
    read = read_novelty(tmp_path / "guard.safetensors")
    for text in (*OWN[::40], *FOREIGN):
        assert read.score(text) == guard.score(text)
        assert read.foreign(text) == guard.foreign(text)


@given(st.text())
@settings(max_examples=60)
def test_any_text_has_a_score(guard, text):
    assert -1e-6 <= guard.score(text) <= 1.0


def test_too_little_to_go_by_is_an_error():
    with pytest.raises(DataError, match=r"29 distinct prompts .* Mend: collect more"):
        Novelty.fit([*OWN[:29], *OWN[:29]])
    with pytest.raises(UsageError, match=r"a share of 1 .* Mend: "):
        Novelty.fit(OWN, 1.0)


def test_texts_that_are_all_alike_have_a_guard():
    guard = Novelty.fit([f"order {number}" for number in range(40)])
    assert guard.foreign("play some jazz") and not guard.foreign("order 12")


def _broken(path, **changed):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        about = file.metadata()
    tensors = load_file(path)
    for name, value in changed.items():
        if isinstance(value, str):
            about[name] = value
        else:
            tensors[name] = value
    save_file(tensors, path, metadata=about)


@pytest.mark.parametrize(
    "changed",
    [
        {"limit": "nan"},
        {"limit": "far"},
        {"landmarks": "3"},
        {"vocabulary": "[]"},
        {"vocabulary": "not json"},
        {"weights": np.zeros(3, np.float32)},
        {"starts": np.zeros(4, np.int64)},
        {"surplus": np.zeros(1, np.float32)},
    ],
)
def test_a_file_that_is_none_is_refused(guard, tmp_path, changed):
    path = tmp_path / "guard.safetensors"
    guard.save(path)
    _broken(path, **changed)
    with pytest.raises(IntegrityError, match=r"is no guard .* Mend: "):
        read_novelty(path)


@pytest.mark.parametrize("content", [b"", b"0123456789"])
def test_nor_is_what_is_no_safetensors(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(IntegrityError):
        read_novelty(tmp_path / "x.safetensors")
    with pytest.raises(IntegrityError):
        read_novelty(tmp_path / "absent.safetensors")
