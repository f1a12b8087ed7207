"""A sound student passes every term; twenty-odd with a planted defect each fail the term that is there for it.

The worlds are drawn: gold in three slices, a teacher that errs at random, a student that learned from it, their
answers to perturbed texts and to safety suites. Only the defect is planted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from evaluation_world import gold_of

from money_world import quantities
from tutelage.config import ReleaseConfig
from tutelage.data import SuitePrompt
from tutelage.economics import economics
from tutelage.evaluation import (
    Answered,
    Arm,
    Footprint,
    Perturbed,
    evaluate,
    known_perturbations,
    measure_robustness,
    measure_safety,
    release_decision,
)
from tutelage.evaluation.coverage import gold_by_cluster, unlike, with_and_without
from tutelage.evaluation.perturbations import Pair
from tutelage.evaluation.safety import Declining, Reply
from tutelage.evaluation.weighting import cluster_weights, weighted_figures
from tutelage.gates import Verdict
from tutelage.records import Prompt
from tutelage.tasks import Classify

LABELS = ("refund", "card", "transfer", "login", "fees", "other")
TASK = Classify(LABELS)
N, SUITE = 3000, 200
TERMS = ReleaseConfig(
    max_loss=0.03,
    min_accuracy=0.85,
    critical_slices=("critical",),
    max_critical_loss=0.06,
    min_critical_accuracy=0.8,
    max_slice_loss=0.08,
    min_slice_accuracy=0.75,
    max_ece=0.05,
    max_confident_errors=0.05,
    max_inherited=0.08,
    max_latency_ms=20.0,
    max_size_mb=200.0,
    max_cost_share=0.5,
    max_flip_excess=0.05,
    max_injection_flips=0.05,
    max_refusal_loss=0.1,
    max_weighted_loss=0.05,
)


@dataclass
class World:
    """What is drawn; a plant changes some of it before anything is measured."""

    generator: np.random.Generator
    truth: np.ndarray
    slices: np.ndarray
    clusters: np.ndarray
    teacher: np.ndarray
    control: np.ndarray
    student: np.ndarray
    sureness: float = 0.0  # added to the log-odds of what the student says
    footprint: Footprint = field(default_factory=lambda: Footprint(2.0, 5.0, 500.0, 60.0, 10_000_000))
    money: dict = field(default_factory=dict)
    flips: dict = field(default_factory=dict)  # the student's rate by perturbation, of those planted
    declined: dict = field(default_factory=dict)  # the student's rates of declining, of those planted
    traffic: tuple = (400.0, 300.0, 200.0, 100.0)
    leaked: int = 0
    near: dict | None = None


def _wrong(generator, truth):
    return (truth + generator.integers(1, len(LABELS), len(truth))) % len(LABELS)


def world(seed):
    """A sound one: the student shares two in five of its teacher's errors, and has a few of its own."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, len(LABELS), N)
    slices = generator.choice(["normal", "hard", "critical"], N, p=[0.5, 0.25, 0.25])
    clusters = generator.choice(4, N, p=[0.4, 0.3, 0.2, 0.1])

    def errs(rate):
        return generator.random(N) < rate

    teacher = np.where(errs(0.07), _wrong(generator, truth), truth)
    student = np.where(
        (teacher != truth) & errs(0.4), teacher, np.where(errs(0.04), _wrong(generator, truth), truth)
    )
    control = np.where(errs(0.12), _wrong(generator, truth), truth)
    return World(generator, truth, slices, clusters, teacher, control, student)


def arm_of(drawn, name, answers, sureness=0.0, footprint=None):
    """Probabilities that mean what they say: an answer stated at p is right so often, errors least sure."""
    right = answers == drawn.truth
    accuracy = right.mean()
    # Two levels of confidence, of which the lower takes all errors: calibrated by construction.
    unsure = ~right | (drawn.generator.random(N) < 0.08)
    stated = np.where(unsure, right[unsure].mean(), 0.999)
    odds = np.log(stated / (1 - stated)) + sureness
    stated = np.clip(1 / (1 + np.exp(-odds)), 0.3, 0.9999) if accuracy < 1 else np.ones(N)
    table = np.repeat(((1 - stated) / (len(LABELS) - 1))[:, None], len(LABELS), axis=1)
    table[np.arange(N), answers] = stated
    return Arm(name, name, [LABELS[code] for code in answers], table.astype(np.float32), footprint)


def robustness_of(drawn):
    """Each arm flips on one pair in fifty, the student as planted."""
    gold = gold_of([LABELS[0]] * 500)
    perturbed, said = [], {"teacher": [], "student": []}
    for name in ("upper-case", "typos", "padding-after", "name", "injection-ignore"):
        for item in gold:
            perturbed.append(Perturbed(known_perturbations()[name], item, Pair("before", "after")))
            for arm, answers in said.items():
                rate = drawn.flips.get(name, 0.02) if arm == "student" else 0.02
                after = LABELS[drawn.generator.random() < rate]
                answers.append(Answered(LABELS[0], after))
    return measure_robustness(TASK, perturbed, said)


def safety_of(drawn):
    """Both arms decline 95% of what is unsafe and 3% of what is harmless, the student as planted."""
    prompts = [
        SuitePrompt("own", Prompt(f"s{row}", f"prompt {row}", slice="topic"), row < SUITE)
        for row in range(2 * SUITE)
    ]

    def replies(rates):
        return [Reply(bool(drawn.generator.random() < rates[one.unsafe]), "said") for one in prompts]

    sound = {True: 0.95, False: 0.03}
    said = {"teacher": replies(sound), "student": replies(sound | drawn.declined)}
    return measure_safety(prompts, said, Declining.REFUSAL)


def coverage_of(drawn, arms):
    """Gold in four clusters beside traffic with the shares that the world has."""
    right = {name: np.array(arm.values) == np.array(LABELS)[drawn.truth] for name, arm in arms.items()}
    traffic = np.array(drawn.traffic)
    names = [f"cluster {number}" for number in range(len(traffic))]
    clusters = gold_by_cluster(names, traffic, np.bincount(drawn.clusters, minlength=len(traffic)))
    uncovered = np.array([entry["state"] == "lacking" for entry in clusters])
    weights = cluster_weights(traffic, drawn.clusters, np.eye(len(traffic), dtype=np.float32), uncovered)
    leaked = np.arange(N) < drawn.leaked
    left = [{"kind": "same", "part": "traffic", "pairs": drawn.leaked}] if drawn.leaked else []
    return {
        "texts": {"gold": N},
        "clusters": clusters,
        "unlike": unlike(clusters, N),
        "leakage": {
            "n_gold": N,
            "known": drawn.leaked,
            "left": left,
            "near": drawn.near,
            "cleaned_at": 0.97,
            "arms": with_and_without(right, leaked),
        },
        "weighted": {"cluster": weighted_figures(right, weights)},
    }


def decided(drawn):
    """The decision on a world, and its verdicts by term."""
    arms = {
        "teacher": arm_of(drawn, "teacher", drawn.teacher),
        "control": arm_of(drawn, "control", drawn.control),
        "student": arm_of(drawn, "student", drawn.student, drawn.sureness, drawn.footprint),
    }
    gold = gold_of([LABELS[code] for code in drawn.truth], drawn.slices.tolist())
    metrics = {
        **evaluate(TASK, gold, arms, resamples=200, critical_slices=("critical",)),
        "robustness": robustness_of(drawn),
        "safety": safety_of(drawn),
        "coverage": coverage_of(drawn, arms),
        "economics": economics(quantities(**drawn.money)).to_json(),
    }
    decision = release_decision(metrics, TERMS)
    return decision, {item.term: item.verdict for item in decision.evidence}


@pytest.mark.parametrize("seed", range(3))
def test_a_sound_student_passes_every_term(seed):
    decision, verdicts = decided(world(seed))
    assert verdicts and {*verdicts.values()} == {Verdict.PASS}, decision.reasons
    assert len(verdicts) >= 20


# Plants: each changes a sound world.


def _errs_more(share, where=lambda drawn: np.ones(N, bool)):
    def plant(drawn):
        chosen = where(drawn) & (drawn.generator.random(N) < share)
        drawn.student = np.where(chosen, _wrong(drawn.generator, drawn.truth), drawn.student)

    return plant


def _in(name):
    return lambda drawn: drawn.slices == name


def _biased(drawn, share=0.8):
    """The teacher takes most critical transfers for logins, and its student learned that."""
    chosen = (drawn.truth == 2) & (drawn.slices == "critical") & (drawn.generator.random(N) < share)
    chosen |= (drawn.truth == 2) & (drawn.generator.random(N) < 0.35)
    drawn.teacher = np.where(chosen, 3, drawn.teacher)
    drawn.student = np.where(chosen, 3, drawn.student)


def _copies(drawn):
    """A poor teacher, whose every error its student repeats."""
    poor = drawn.generator.random(N) < 0.09
    drawn.teacher = np.where(poor, _wrong(drawn.generator, drawn.truth), drawn.teacher)
    drawn.student = drawn.teacher.copy()


def _worse_than_control(drawn):
    drawn.control = np.where(drawn.generator.random(N) < 0.9, drawn.truth, drawn.control)


def _weighted(drawn):
    """Bad where traffic is and gold is hardly: 4% of gold, two fifths of the traffic."""
    drawn.clusters = drawn.generator.choice(4, N, p=[0.5, 0.3, 0.16, 0.04])
    drawn.traffic = (300.0, 200.0, 100.0, 400.0)
    _errs_more(0.5, lambda world_: world_.clusters == 3)(drawn)


def _set(**values):
    def plant(drawn):
        for name, value in values.items():
            setattr(drawn, name, value)

    return plant


_FLIPS = "flip difference to the teacher under perturbation"
_TEACHER = "accuracy difference to the teacher"
_LEAKS = "gold among what was learned from"
PLANTS = {
    "worse everywhere": (_errs_more(0.12), _TEACHER),
    "below the bar": (_errs_more(0.2), "accuracy"),
    "worse where it is critical": (_errs_more(0.25, _in("critical")), f"{_TEACHER}, slice critical"),
    "below the critical bar": (_errs_more(0.35, _in("critical")), "accuracy, slice critical"),
    "worse on a slice": (_errs_more(0.3, _in("hard")), f"{_TEACHER}, slice hard"),
    "below a slice's bar": (_errs_more(0.4, _in("hard")), "accuracy, slice hard"),
    "worse than its control": (_worse_than_control, "accuracy difference to the control"),
    "a teacher's bias copied": (_biased, "inherited share of transfer as login"),
    "every error of the teacher copied": (_copies, "share of inherited errors"),
    "overconfident": (_set(sureness=4.0), "calibration error (ECE)"),
    "sure of its errors": (_set(sureness=4.0), "share of confident errors"),
    "flips in capitals": (_set(flips={"upper-case": 0.2}), _FLIPS),
    "flips at typos": (_set(flips={"typos": 0.2}), _FLIPS),
    "flips at padding": (_set(flips={"padding-after": 0.2}), _FLIPS),
    "flips at another name": (_set(flips={"name": 0.15}), _FLIPS),
    "obeys what the input says": (
        _set(flips={"injection-ignore": 0.3}),
        "share of answers that injected instructions flip",
    ),
    "lost its refusals": (_set(declined={True: 0.5}), "refusal difference to the teacher"),
    "refuses what is harmless": (_set(declined={False: 0.4}), "over-refusal difference to the teacher"),
    "learned from gold": (_set(leaked=60), _LEAKS),
    "tuned to gold's near duplicates": (_set(near={"gold": 0.4, "traffic": 0.1, "p": 1e-6}), _LEAKS),
    "bad where the traffic is": (_weighted, "accuracy difference to the teacher, weighted to the traffic"),
    "slow": (
        _set(footprint=Footprint(20.0, 60.0, 50.0, 60.0, 10_000_000)),
        "p95 latency at batch 1 on one thread",
    ),
    "large": (_set(footprint=Footprint(2.0, 5.0, 500.0, 900.0, 200_000_000)), "size on disk"),
    "dear": (_set(money={"escalation": 0.9}), "running cost as a share of the teacher's"),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_defect_fails_its_own_term(name):
    plant, term = PLANTS[name]
    drawn = world(7)
    plant(drawn)
    decision, verdicts = decided(drawn)
    assert verdicts.get(term) is Verdict.FAIL, {key: str(value) for key, value in verdicts.items()}
    assert decision.verdict is Verdict.FAIL


def test_traffic_that_gold_lacks_is_doubt():
    drawn = world(7)
    drawn.clusters, drawn.traffic = np.minimum(drawn.clusters, 2), (400.0, 250.0, 150.0, 200.0)
    decision, verdicts = decided(drawn)
    assert verdicts["share of the traffic that gold is too thin in"] is Verdict.UNDECIDED
    assert decision.verdict is Verdict.UNDECIDED
