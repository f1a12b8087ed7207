from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interrupting import Interrupting, Killed
from scipy.special import expit, xlogy

from tiny_world import MULTI, TASK, save_checkpoint, signals
from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.distillation import Signals
from tutelage.distillation.recipes import Recipe
from tutelage.distillation.signals import hold_back
from tutelage.errors import TutelageError
from tutelage.progress import Silent
from tutelage.students import new_learner

torch = pytest.importorskip("torch")

from tutelage.distillation.trainer import Trainer  # noqa: E402

LEARNING, VALIDATION = hold_back(signals(), 0.2, seed=0)
RECIPE = Recipe(
    temperature=2.0,
    hard_weight=0.3,
    learning_rate=0.01,
    batch_size=10,
    steps=24,
    warmup=0.1,
    checks=6,
    patience=6,
    seed=3,
)
CHECKS = range(4, 25, 4)


class Walker:
    """A learner of one weight `w` with logits [w, 0]: what it learns can be followed by hand.

    Plain gradient descent with momentum, and noise on the rate, so that there is a state to lose.
    """

    threads = None

    def __init__(self, rate_of_noise: float = 0.0) -> None:
        torch.manual_seed(5)
        self.module = torch.nn.Module()
        self.module.w = torch.nn.Parameter(torch.zeros(1))
        self.noise = rate_of_noise
        self.batches: list[np.ndarray] = []
        self.rates: list[float] = []
        self.warmed_up = 0

    def encode(self, texts):
        return np.array([len(text) for text in texts])

    def lengths(self, encoded):
        return encoded

    def warm_up(self, encoded, targets):
        self.warmed_up += 1
        assert targets.shape == (len(encoded), 2)

    def logits(self, encoded, indices):
        w = self.module.w
        if self.module.training:
            self.batches.append(indices)
            self.rates.append(self.optimizer.param_groups[0]["lr"])
            w = w * (1 + self.noise * torch.randn(1))
        return torch.stack([w, torch.zeros(1)], dim=1).expand(len(indices), 2)

    def optimizers(self, learning_rate):
        self.optimizer = torch.optim.SGD([self.module.w], lr=learning_rate, momentum=0.5)
        return [self.optimizer]

    def finished(self):
        return self.module.w.detach().clone()


def certain(n, first=1.0, lengths=None):
    """n rows whose teacher gives the first of two labels the probability `first`."""
    teacher = np.tile(np.array([[first, 1 - first]], np.float32), (n, 1))
    nothing, everything = np.zeros(n, bool), np.ones(n, bool)
    texts = tuple("x" * length for length in (lengths or range(n)))
    return Signals(texts, teacher, everything, everything, np.zeros_like(teacher), nothing)


WALK = replace(
    RECIPE, temperature=1.0, learning_rate=0.02, batch_size=4, steps=100, warmup=0.0, checks=50, patience=5
)


def walk(learner=None, recipe=WALK, progress=None, checkpoint=None):
    """Learning pulls w up for good, while validation is best at w = logit(0.6)."""
    learner = learner or Walker()
    trainer = Trainer(
        learner,
        certain(20),
        certain(5, 0.6),
        recipe,
        multi_label=False,
        checkpoint=checkpoint,
        fingerprint="a",
    )
    return learner, trainer.train(progress or Silent(), "walking")


def same(record, other):
    return (record.steps, record.best_step, record.stopped_early, record.history) == (
        other.steps,
        other.best_step,
        other.stopped_early,
        other.history,
    )


# Batches and rates


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=140),
    st.integers(1, 4) | st.integers(1, 150),
    st.integers(1, 3),
    st.integers(0, 100),
)
def test_batches_cover_every_example_once_an_epoch(lengths, size, epochs, seed):
    per_epoch = math.ceil(len(lengths) / size)
    recipe = replace(WALK, batch_size=size, steps=epochs * per_epoch, checks=1, seed=seed)
    learner = Walker()
    trainer = Trainer(
        learner, certain(len(lengths), 0.5, lengths), certain(2, 0.5), recipe, multi_label=False
    )
    assert trainer.train(Silent(), "").steps == epochs * per_epoch == len(learner.batches)
    for start in range(0, len(learner.batches), per_epoch):
        batches = learner.batches[start : start + per_epoch]
        assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
        assert sorted(map(len, batches))[1:] == [size] * (per_epoch - 1)


def test_texts_of_like_length_share_a_batch_and_the_order_is_another_each_epoch():
    lengths = np.random.default_rng(0).permutation(60).tolist()
    learner = Walker()
    recipe = replace(WALK, batch_size=5, steps=24, checks=1)
    Trainer(learner, certain(60, 0.5, lengths), certain(2, 0.5), recipe, multi_label=False).train(
        Silent(), ""
    )
    spans = [sorted(np.take(lengths, batch)) for batch in learner.batches]
    assert all(span == list(range(span[0], span[0] + 5)) for span in spans)
    firsts = [span[0] for span in spans]
    assert sorted(firsts[:12]) == sorted(firsts[12:]) == list(range(0, 60, 5))
    assert firsts[:12] != firsts[12:] and firsts[:12] != sorted(firsts[:12])


def test_the_order_follows_from_the_seed():
    runs = []
    for seed in (1, 1, 2):
        learner, _ = walk(recipe=replace(WALK, seed=seed, patience=100))
        runs.append(np.concatenate(learner.batches).tolist())
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_rates_rise_to_the_peak_and_fall_to_nothing(warmup):
    learner, record = walk(recipe=replace(WALK, warmup=warmup, patience=100))
    assert record.steps == 100 == len(learner.rates)
    warm = max(1, round(100 * warmup))
    rising = WALK.learning_rate * np.arange(1, warm + 1) / warm
    falling = WALK.learning_rate * np.arange(100 - warm, 0, -1) / (100 - warm)
    np.testing.assert_allclose(learner.rates, np.concatenate([rising, falling]))


# The best step


def entropy_at(w, first=0.6):
    return -(xlogy(first, expit(w)) + xlogy(1 - first, expit(-w)))


def test_stopping_early_leaves_the_best_weights():
    learner, record = walk()
    losses = [check["loss"] for check in record.history]
    best = int(np.argmin(losses))
    assert 0 < best < len(losses) - 1, "validation gets better, then worse"
    assert record.best_step == record.history[best]["step"]
    assert record.stopped_early
    assert record.steps == record.best_step + WALK.patience * 2
    assert len(losses) == best + 1 + WALK.patience
    w = float(learner.finished())
    assert entropy_at(w) == pytest.approx(losses[best], rel=1e-5)
    assert w == pytest.approx(np.log(0.6 / 0.4), abs=0.06)
    assert not learner.module.training


def test_without_a_stop_the_best_weights_are_left_too():
    learner, record = walk(recipe=replace(WALK, patience=100))
    assert record.steps == 100 and not record.stopped_early
    assert record.best_step == walk()[1].best_step
    assert float(learner.finished()) == float(walk()[0].finished())


def test_a_check_tells_loss_and_agreement_on_what_was_held_back():
    learner = new_learner(StudentConfig(family="static", seed=3), TASK, LEARNING.texts, Path())
    record = trainer_of(learner).train(Silent(), "")
    odds = learner.finished().predict(VALIDATION.texts)
    best = next(check for check in record.history if check["step"] == record.best_step)
    agreement = (odds.argmax(1) == VALIDATION.targets.argmax(1)).mean()
    assert best["agreement"] == pytest.approx(agreement)
    assert best["agreement"] == max(check["agreement"] for check in record.history)
    assert best["agreement"] > 0.5


def test_several_labels_agree_where_all_of_them_do():
    learning, validation = (replace(part, softened=part.softened & False) for part in (LEARNING, VALIDATION))
    learner = new_learner(StudentConfig(family="static", seed=3), MULTI, learning.texts, Path())
    trainer = Trainer(learner, learning, validation, replace(RECIPE, steps=60), multi_label=True)
    record = trainer.train(Silent(), "")
    odds = learner.finished().predict(validation.texts)
    agreement = ((odds >= 0.5) == (validation.targets >= 0.5)).all(axis=1).mean()
    assert max(check["agreement"] for check in record.history) == pytest.approx(agreement) and agreement > 0.5


# A loss that isn't finite


@pytest.mark.parametrize("with_checkpoint", [False, True])
@pytest.mark.parametrize("steps", [1, 8, 24], ids=["at the end", "at a check", "between checks"])
def test_a_loss_that_is_not_finite_stops_and_names_the_rate(tmp_path, steps, with_checkpoint):
    recipe = replace(RECIPE, learning_rate=1e30, steps=steps, warmup=0.0)
    learner = new_learner(StudentConfig(family="static"), TASK, LEARNING.texts, tmp_path)
    trainer = trainer_of(learner, recipe=recipe, checkpoint=tmp_path / "c" if with_checkpoint else None)
    with pytest.raises(TutelageError, match=r"loss is (nan|inf).*student\.learning_rate .*1e\+30"):
        trainer.train(Silent(), "")


# Killed and resumed


def trainer_of(learner, checkpoint=None, recipe=RECIPE, fingerprint="this run"):
    return Trainer(
        learner,
        LEARNING,
        VALIDATION,
        recipe,
        multi_label=False,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    pytest.importorskip("transformers")
    return save_checkpoint(tmp_path_factory.mktemp("base"), layers=2)


@pytest.fixture(params=["static", "encoder"])
def start(request):
    """What makes a fresh learner, as a new process would."""
    if request.param == "static":
        return lambda: new_learner(StudentConfig(family="static", seed=3), TASK, LEARNING.texts, Path())
    base = request.getfixturevalue("base")
    config = StudentConfig(family="encoder", base=base.name, layers=2, max_tokens=32, seed=3)
    return lambda: new_learner(config, TASK, LEARNING.texts, base.parent)


def weights_of(learner):
    return {name: weight.numpy().tobytes() for name, weight in learner.module.state_dict().items()}


def run(start, checkpoint=None, progress=None):
    learner = start()
    record = trainer_of(learner, checkpoint).train(progress or Silent(), "training")
    return learner, record


def killed_at(start, checkpoint, *steps):
    progress = Interrupting(*steps)
    with pytest.raises(Killed):
        run(start, checkpoint, progress)
    return progress


def test_a_run_killed_at_any_check_ends_the_same_to_the_last_bit(tmp_path, start):
    whole, record = run(start)
    assert len(record.history) == len(CHECKS)
    for step in CHECKS:
        checkpoint = tmp_path / str(step)
        killed_at(start, checkpoint, step)
        progress = Interrupting()
        learner, resumed = run(start, checkpoint, progress)
        assert progress.began == [step]
        assert same(resumed, record), f"killed at step {step}"
        assert weights_of(learner) == weights_of(whole), f"killed at step {step}"


def test_a_run_killed_again_and_again_ends_the_same_to_the_last_bit(tmp_path, start):
    whole, record = run(start)
    deaths, checks_before = (2, 6, 11, 12, 17, 23), (0, 0, 4, 8, 12, 16)
    assert [killed_at(start, tmp_path, death).began[0] for death in deaths] == list(checks_before)
    learner, resumed = run(start, tmp_path)
    assert same(resumed, record)
    assert weights_of(learner) == weights_of(whole)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_momentum_and_random_numbers_survive_a_kill(tmp_path, noise):
    recipe = replace(WALK, patience=100)
    whole, record = walk(Walker(noise), recipe)
    for step in (1, 2, 37, 98, 100):
        checkpoint = tmp_path / str(step)
        with pytest.raises(Killed):
            walk(Walker(noise), recipe, Interrupting(step), checkpoint)
        learner, resumed = walk(Walker(noise), recipe, checkpoint=checkpoint)
        assert same(resumed, record)
        assert float(learner.finished()) == float(whole.finished())
        assert learner.warmed_up == (1 if step == 1 else 0), "warming up again would undo what was learned"
        tail = whole.batches[-len(learner.batches) :] if learner.batches else []
        assert [batch.tolist() for batch in learner.batches] == [batch.tolist() for batch in tail]


def test_a_run_killed_when_it_had_just_stopped_does_not_go_on(tmp_path):
    whole, record = walk()
    assert record.stopped_early
    with pytest.raises(Killed):
        walk(progress=Interrupting(record.steps), checkpoint=tmp_path)
    learner, resumed = walk(checkpoint=tmp_path)
    assert float(learner.finished()) == float(whole.finished())
    assert same(resumed, record)
    assert not learner.batches


def test_a_kill_between_weights_and_their_record_falls_back_to_the_check_before(tmp_path, start, monkeypatch):
    whole, record = run(start)
    write, written = storage.write_bytes, []

    def write_or_die(path, content):
        written.append(path.name)
        if written.count("checkpoint.json") == 3:
            raise Killed
        write(path, content)

    monkeypatch.setattr(storage, "write_bytes", write_or_die)
    with pytest.raises(Killed):
        run(start, tmp_path)
    monkeypatch.undo()
    progress = Interrupting()
    learner, resumed = run(start, tmp_path, progress)
    assert progress.began == [8]
    assert same(resumed, record)
    assert weights_of(learner) == weights_of(whole)
    assert len(list(tmp_path.glob("step-*.safetensors"))) == 1


def test_the_time_before_a_kill_counts(tmp_path):
    with pytest.raises(Killed):
        walk(progress=Interrupting(8), checkpoint=tmp_path)
    path = tmp_path / "checkpoint.json"
    about = storage.read_json(path)
    assert 0 < about["record"]["seconds"] < 60
    _, resumed = walk(checkpoint=tmp_path)
    assert resumed.seconds > about["record"]["seconds"]


# A checkpoint that is not this run's, or no longer whole


def began_at(checkpoint, fingerprint="a"):
    progress = Interrupting(0)
    learner = Walker()
    trainer = Trainer(
        learner,
        certain(20),
        certain(5, 0.6),
        WALK,
        multi_label=False,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
    )
    with pytest.raises(Killed):
        trainer.train(progress, "")
    (began,) = progress.began
    assert learner.warmed_up == (1 if began == 0 else 0)
    return began


@pytest.fixture
def left(tmp_path):
    """What a run killed at its fourth check left."""
    with pytest.raises(Killed):
        walk(progress=Interrupting(8), checkpoint=tmp_path)
    assert began_at(tmp_path) == 8
    return tmp_path


def flip(path, position, bit=0):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_a_stale_checkpoint_is_not_taken_up(left):
    assert began_at(left, "b") == 0


def test_weights_that_are_cut_short_gone_or_changed_are_not_taken_up(left):
    (weights,) = left.glob("step-*.safetensors")
    whole = weights.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:size])
        assert began_at(left) == 0, size
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        weights.write_bytes(whole)
        flip(weights, position)
        assert began_at(left) == 0, position
    weights.write_bytes(whole)
    assert began_at(left) == 8
    weights.unlink()
    assert began_at(left) == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"fingerprint": "a"}', "\x00\x00"])
def test_a_record_that_is_none_is_not_taken_up(left, content):
    (left / "checkpoint.json").write_text(content)
    assert began_at(left) == 0


def test_a_record_that_is_cut_short_is_not_taken_up(left):
    path = left / "checkpoint.json"
    whole = path.read_bytes()
    for size in range(0, len(whole.rstrip()), 7):
        path.write_bytes(whole[:size])
        assert began_at(left) == 0, size


def test_a_record_with_a_changed_bit_is_not_taken_up(left):
    path = left / "checkpoint.json"
    whole = path.read_bytes()
    taken = []
    for position in range(len(whole)):
        path.write_bytes(whole)
        flip(path, position, bit=position % 3)
        try:
            unchanged = json.loads(path.read_bytes()) == json.loads(whole)
        except ValueError:
            unchanged = False
        if began_at(left) != 0 and not unchanged:
            taken.append(whole[max(0, position - 30) : position + 1].decode())
    assert not taken, f"{len(taken)} changes taken up, such as {taken[:3]}"


def test_a_run_beside_a_broken_checkpoint_ends_like_one_without(left):
    (weights,) = left.glob("step-*.safetensors")
    flip(weights, -1)
    learner, record = walk(checkpoint=left)
    whole, expected = walk()
    assert same(record, expected)
    assert float(learner.finished()) == float(whole.finished())


def test_texts_without_a_known_word_teach_how_frequent_labels_are(tmp_path):
    """Bags without features: no rows to look up, none to move, only the bias."""
    learning, validation = (replace(part, texts=("",) * len(part)) for part in (LEARNING, VALIDATION))
    learner = new_learner(StudentConfig(family="static"), TASK, learning.texts, tmp_path)
    recipe = replace(RECIPE, temperature=1.0, learning_rate=0.05, steps=100)
    Trainer(learner, learning, validation, recipe, multi_label=False).train(Silent(), "")
    assert learner.finished().predict(["", "parcel"]) == pytest.approx(np.full((2, 3), 1 / 3), abs=0.08)
