"""`certify`: from which confidence on each exported form of the student may answer, with what bounds.

What tests is imported where it is used, as in `train`.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import __version__, storage
from tutelage.errors import UsageError
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.records import Value
from tutelage.stages.calibration import Calibration, read_calibration_part, require_calibration
from tutelage.stages.collected import drawn_texts
from tutelage.stages.lifecycle import require_earlier
from tutelage.stages.task import label_task
from tutelage.stages.train import TRAIN
from tutelage.stages.transfer import read_transfer, split_by_time

if TYPE_CHECKING:
    from tutelage.serving import (
        Bound,
        CalibrationPart,
        Certificate,
        Certified,
        Claim,
        NotCertified,
        Novelty,
        Runtime,
    )
    from tutelage.serving.learn_then_test import Confidences
    from tutelage.tasks import LabelTask

_GATE = "certificate"
_DAY = 86_400
_ASSUMPTIONS = (
    "Requests to come are drawn as the calibration part was. Where traffic drifts, the audits' alarm tells.",
    "People's labels of the calibration part are what counts as right.",
    "Nothing was learned from the calibration part, and neither student, form nor configuration was chosen "
    "by how it did there. Each further student tested on the same part takes a chance of delta of its own.",
    "The student answers one text at a time in the form that is named, behind the guard that is named.",
)


@dataclass(frozen=True, slots=True)
class Tested:
    """One form: its certificate, or why there is none, and the gate's decision."""

    form: str
    outcome: Certificate | NotCertified
    decision: Decision
    path: Path
    n: int
    foreign: int  # calibration prompts that the guard left to the teacher

    @property
    def certified(self) -> bool:
        """Whether it may answer."""
        return self.decision.verdict is Verdict.PASS


@dataclass(frozen=True, slots=True)
class Certification:
    """What `certify` found, form by form."""

    forms: tuple[Tested, ...]

    @property
    def exit_code(self) -> int:
        """0 where a form is certified; else 4 where more prompts may do, 3 where they won't."""
        verdicts = {item.decision.verdict for item in self.forms}
        if Verdict.PASS in verdicts:
            return 0
        return 4 if Verdict.UNDECIDED in verdicts else 3


def run_certify(programme: Programme, progress: Progress) -> Certification:
    """Test every exported form and write `certificates/<run>/<form>.json`, with its guard beside it.

    A form that isn't certified loses the certificate that it had. Raises UsageError where there is no
    calibration part, no exported form, or a stage before has to run first.
    """
    require_calibration(programme)
    require_earlier(programme, "train", "certify")
    if reason := TRAIN.reason_to_run(programme):
        raise UsageError(
            f"certify builds on train, which has to run first: {reason}. Mend: run {programme.command('run')}"
        )
    forms = _exported(programme)
    task = label_task(programme, "a certificate")
    part = read_calibration_part(programme, progress)
    _tell_reuse(programme, part, forms, progress)
    texts = _held_back(programme, task)
    guard = _guard(programme)
    return Certification(tuple(_test(programme, form, task, part, texts, guard, progress) for form in forms))


def _exported(programme: Programme) -> list[str]:
    """The forms that `export` kept of this student. Raises UsageError where there is none."""
    about = programme.exports / "export.json"
    content: dict[str, Any] = storage.read_json(about) if about.exists() else {}
    if content.get("student") != TRAIN.left(programme, programme.student):
        why = "holds forms of an earlier student" if content else "doesn't exist"
        raise UsageError(
            f"a certificate is of an exported form, and {about} {why}. "
            f"Mend: run {programme.command('export')}"
        )
    return sorted(name for name, form in content["forms"].items() if form["kept"])


def _tell_reuse(programme: Programme, part: Calibration, forms: Sequence[str], progress: Progress) -> None:
    from tutelage.serving.student import revision_of

    now = {revision_of(programme.exports / form) for form in forms}
    earlier = {
        entry.data["student"]
        for entry in programme.journal.entries()
        if entry.event == "gate"
        and entry.data.get("gate") == _GATE
        and entry.data["calibration"] == part.hash
    }
    if others := earlier - now:
        progress.warn(
            f"{len(others):,} other students were tested on this calibration part before. Each certificate "
            "holds by itself; whoever goes on until one passes finds one that is too good. Mend: label new "
            "prompts for the student that is to serve"
        )


def _held_back(programme: Programme, task: LabelTask) -> list[str]:
    """Texts that the student has not learned from: those of the transfer set that stopped its training.

    Of texts that it learned from it is surer than it will be of new ones.
    """
    from tutelage.distillation import read_signals
    from tutelage.distillation.signals import hold_back

    student = programme.config.student
    signals = read_signals(read_transfer(programme), task, by_time=split_by_time(programme))
    return list(dict.fromkeys(hold_back(signals, student.validation, student.seed)[1].texts))


def _guard(programme: Programme) -> Novelty | None:
    from tutelage.serving import Novelty
    from tutelage.serving.novelty import MOST_FITTED

    config = programme.config.certify
    if config.foreign_share is None:
        return None
    texts = drawn_texts(programme, MOST_FITTED, config.seed)
    return Novelty.fit(texts, config.foreign_share, config.seed)


def _test(
    programme: Programme,
    form: str,
    task: LabelTask,
    calibration: Calibration,
    texts: Sequence[str],
    guard: Novelty | None,
    progress: Progress,
) -> Tested:
    import numpy as np

    from tutelage.serving import CalibrationPart, Certified, certify, load_runtime, threshold_list

    config = programme.config.certify
    student = load_runtime(programme.exports / form)
    bounds = _bounds(programme)
    apart, _ = _said(student, task, texts, guard, progress, f"{form}: confidence")
    confidence, said = _said(student, task, calibration.texts, guard, progress, f"{form}: testing")
    part = CalibrationPart(confidence, calibration.wrong(task, said), calibration.slices)
    rows: dict[str | None, int] = {None: len(said)}
    rows |= {name: part.slices.count(name) for name in set(part.slices)}
    thresholds = threshold_list(apart, rows, bounds, config.delta)
    if thresholds[-1] > 0:
        thresholds = np.append(thresholds, 0.0)  # all that isn't foreign
    outcome = certify(part, bounds, thresholds, config.delta)
    foreign = int(np.isnan(confidence).sum())
    tested = _tested(programme, form, calibration, foreign, len(texts))
    if isinstance(outcome, Certified):
        kept: Certificate | NotCertified = _certificate(programme, form, outcome, tested, guard)
    else:
        kept = outcome
    return _kept(programme, form, kept, tested, guard, part)


def _bounds(programme: Programme) -> list[Bound]:
    from tutelage.serving import Among, Bound, Reference

    return [
        Bound(one.limit, Reference(one.reference), Among(one.among), one.slice)
        for one in programme.config.certify.bounds
    ]


def _said(
    student: Runtime,
    task: LabelTask,
    texts: Sequence[str],
    guard: Novelty | None,
    progress: Progress,
    description: str,
) -> tuple[Confidences, list[Value]]:
    """Confidence, float64 [n], NaN where the guard lets it answer nothing, and what it says.

    One text at a time, as a server asks: in a batch, eight-bit activations are scaled by the whole of it.
    """
    import numpy as np

    from tutelage.students.probabilities import confidences

    confidence, values = np.full(len(texts), np.nan), []
    with progress.track(description, len(texts), "texts") as tracker:
        for row, text in enumerate(texts):
            odds = student.predict([text])
            values += task.decide(odds)
            if guard is None or not guard.foreign(text):
                confidence[row] = float(confidences(odds[0], task.multi_label))
            tracker.advance()
    return confidence, values


def _tested(
    programme: Programme, form: str, calibration: Calibration, foreign: int, apart: int
) -> dict[str, Any]:
    """What a certificate says it was tested on."""
    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # no such account, as in some containers
        who = "unknown"
    return {
        "run": programme.config.student.run,
        "form": form,
        "calibration": calibration.hash,
        "n": len(calibration.gold),
        "left_out": calibration.known,
        "foreign": foreign,
        "teacher": storage.read_json(programme.teacher_record)["name"],
        "thresholds_from": apart,
        "config": fingerprint(programme.config.certify),
        "by": who,
        "version": __version__,
    }


def _certificate(
    programme: Programme, form: str, found: Certified, tested: dict[str, Any], guard: Novelty | None
) -> Certificate:
    from tutelage.serving import Certificate
    from tutelage.serving.student import revision_of

    scope = ""
    if guard is not None:
        path = programme.certificates / f"{form}.scope.safetensors"
        guard.save(path)
        scope = storage.hash_file(path)
    now = float(int(time.time()))
    return Certificate(
        threshold=found.threshold,
        delta=found.delta,
        claims=found.claims,
        answered_share=found.answered / found.n,
        student=revision_of(programme.exports / form),
        issued=now,
        expires=now + programme.config.certify.valid_days * _DAY,
        scope=scope,
        tested=tested,
        assumptions=_ASSUMPTIONS,
    )


def _kept(
    programme: Programme,
    form: str,
    outcome: Certificate | NotCertified,
    tested: dict[str, Any],
    guard: Novelty | None,
    part: CalibrationPart,
) -> Tested:
    """Write what was found, and journal the gate's decision."""
    from tutelage.serving import Certificate
    from tutelage.serving.student import revision_of

    path = programme.certificates / f"{form}.json"
    student, n = revision_of(programme.exports / form), len(part.confidence)
    certified = isinstance(outcome, Certificate)
    content = outcome.to_json() if isinstance(outcome, Certificate) else _refused(outcome, student, tested)
    storage.write_json(path, content)
    if not certified or guard is None:
        (programme.certificates / f"{form}.scope.safetensors").unlink(missing_ok=True)
    decision = Decision.of(
        _GATE,
        [_evidence(claim, outcome, n) for claim in outcome.claims],
        run=programme.config.student.run,
        form=form,
        student=student,
        calibration=tested["calibration"],
        threshold=outcome.threshold,
        file=storage.hash_file(path),
    )
    programme.journal.append("gate", **decision.to_json())
    return Tested(form, outcome, decision, path, n, tested["foreign"])


def _refused(found: NotCertified, student: str, tested: dict[str, Any]) -> dict[str, Any]:
    """What the file says where nothing is certified; `threshold` is the one that came nearest."""
    return {"format": 1, "certified": False, **asdict(found), "student": student, "tested": tested}


def _evidence(claim: Claim, outcome: Certificate | NotCertified, n: int) -> Evidence:
    from tutelage.serving import NotCertified

    bound, needed = claim.bound, None
    told = f"{claim.wrong:,} of {claim.n:,}, {claim.upper:.2%} at most, limit {bound.limit:.2%}"
    verdict = Verdict.PASS
    if isinstance(outcome, NotCertified) and claim.p_value > outcome.delta:
        needed = outcome.needed
        verdict = Verdict.FAIL if needed is None else Verdict.UNDECIDED
        told += f": {_why_not(claim, needed, n)}"
    return Evidence(
        bound.describe(),
        verdict,
        f"{bound.describe()}: {told}.",
        claim.wrong / claim.n if claim.n else None,
        high=claim.upper,
        limit=bound.limit,
        n=claim.n,
        more_needed=None if needed is None else needed - n,
    )


def _why_not(claim: Claim, needed: int | None, n: int) -> str:
    if needed is not None:
        return f"about {needed - n:,} more calibration prompts would do, were they like these"
    if not claim.n:
        return (
            "of none of the calibration prompts is it so sure, or the guard takes them for foreign. Mend: "
            "look whether they are like the traffic (`tutelage coverage`), or raise certify.foreign_share"
        )
    return "too many, however many prompts are labelled. Mend: a better student, or a laxer bound"
