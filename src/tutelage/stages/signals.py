"""Signals that the teacher makes beside its answers: kept by `label`, held to the teacher before `train`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.data import read_training
from tutelage.errors import ConfigError, IntegrityError
from tutelage.labelling import AnswerLedger, LedgerKey
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.records import Prompt, text_hash
from tutelage.stages.asking import open_teacher, prompted_task
from tutelage.stages.transfer import read_transfer
from tutelage.tasks import Task
from tutelage.teachers import Teacher

if TYPE_CHECKING:
    from tutelage.distillation import TokenCache, TokenTeacher
    from tutelage.signals import Revealing


def signals_folder(programme: Programme) -> Path:
    """`answers/signals`, with a folder for each kind."""
    return programme.folder / "answers" / "signals"


def _kinds(programme: Programme) -> tuple[str, ...]:
    """The kinds that have a folder; `tokens` stand with the answers themselves."""
    return tuple(kind for kind in programme.config.labelling.signals if kind != "tokens")


def require_revealing(programme: Programme, teacher: Teacher) -> Revealing | None:
    """The teacher, where signals are wanted of it; None where none are.

    Raises ConfigError where it doesn't make those that `labelling.signals` names, or not of those layers.
    """
    kinds = _kinds(programme)
    if not kinds:
        return None
    from tutelage.signals import Revealing  # here, so that `tutelage status` needn't load numpy

    reveals = teacher.reveals if isinstance(teacher, Revealing) else ()
    if missing := [kind for kind in kinds if kind not in reveals]:
        raise ConfigError(
            f"labelling.signals has {', '.join(missing)}, which the teacher {teacher.name!r} doesn't make "
            f"(it makes: {', '.join(reveals) or 'none'}). Mend: leave them out, or "
            "use a teacher that runs here by transformers (teacher.type encoder, transformers or local)"
        )
    assert isinstance(teacher, Revealing)  # noqa: S101  # else something were missing
    for kind in kinds:
        teacher.manifest(kind)  # raises for layers that it doesn't have
    return teacher


def keep_signals(
    programme: Programme, teacher: Teacher, task: Task, prompts: Collection[Prompt], progress: Progress
) -> None:
    """Keep the wanted signals of all prompts, going on where an earlier run ended."""
    if "tokens" in programme.config.labelling.signals:
        _note_tokens(programme, task)
    revealing = require_revealing(programme, teacher)
    if revealing is None:
        return
    from tutelage.signals import collect_signals

    new = collect_signals(prompts, revealing, signals_folder(programme), _kinds(programme), progress)
    asyncio.run(teacher.close())
    progress.note(f"{new:,} signals kept ({', '.join(_kinds(programme))})")


def _note_tokens(programme: Programme, task: Task) -> None:
    """Write down what the answers' token log-probabilities were made with, as far as the teacher tells."""
    from tutelage.signals import TellsTokens, token_manifest, write_token_manifest

    teacher = open_teacher(programme, read_training(programme.gold_training), task)
    model = str(getattr(programme.config.teacher, "model", teacher.name))
    top_k = programme.config.labelling.top_k
    manifest = (
        teacher.token_manifest()
        if isinstance(teacher, TellsTokens)
        else token_manifest(teacher.name, model, teacher.revision, task.version, top_k)
    )
    write_token_manifest(signals_folder(programme), manifest)


def check_signals(programme: Programme) -> None:
    """Before training: the wanted signals are whole, and of the teacher as it is now.

    Raises IntegrityError that names what differs and the mend.
    """
    if "tokens" in programme.config.labelling.signals:
        _check_tokens(programme)
    kinds = _kinds(programme)
    if not kinds:
        return
    from tutelage.signals import require_signals

    teacher = require_revealing(programme, open_teacher(programme, read_training(programme.gold_training)))
    assert teacher is not None  # noqa: S101  # there are kinds
    hashes = read_transfer(programme).column("hash").to_pylist()
    require_signals(signals_folder(programme), {kind: teacher.manifest(kind) for kind in kinds}, hashes)


def _check_tokens(programme: Programme) -> None:
    """Whose token log-probabilities they are is on record, and it is the teacher of the answers."""
    from tutelage.signals import MEND, read_token_manifest

    manifest = read_token_manifest(signals_folder(programme))
    answered = storage.read_json(programme.teacher_record)
    if (manifest.teacher, manifest.revision) != (answered["name"], answered["revision"]):
        raise IntegrityError(
            f"{signals_folder(programme) / 'tokens'} tells of the teacher {manifest.teacher!r} "
            f"({manifest.revision}), and the answers are of {answered['name']!r} ({answered['revision']}). "
            f"Mend: {MEND}"
        )
    if manifest.k != (top_k := programme.config.labelling.top_k):
        raise IntegrityError(
            f"{signals_folder(programme) / 'tokens'} holds {manifest.k} alternatives a token, and "
            f"labelling.top_k is {top_k}. Mend: {MEND}"
        )


def kept_tokens(programme: Programme, texts: Sequence[str]) -> TokenCache | None:
    """The distributions over tokens that answers to `texts` came from, for a recipe that learns from them.

    None for any other recipe, or where `labelling.signals` keeps none.
    """
    if programme.config.student.plan != "tokens" or learns_online(programme):
        return None
    if "tokens" not in programme.config.labelling.signals:
        return None
    from tutelage.distillation import TokenCache
    from tutelage.signals import read_token_manifest

    answered = storage.read_json(programme.teacher_record)
    task = prompted_task(programme, read_training(programme.gold_training))
    key = LedgerKey(answered["name"], answered["revision"], task.version)
    with AnswerLedger(programme.answers) as ledger:
        kept = ledger.read_answers(key, ("hash", "tokens")).to_pylist()
    by_hash = {row["hash"]: row["tokens"] or b"" for row in kept}
    manifest = read_token_manifest(signals_folder(programme))
    return TokenCache(manifest, tuple(by_hash.get(text_hash(text), b"") for text in texts))


def learns_online(programme: Programme) -> bool:
    """Whether the student's recipe needs the teacher's weights beside it."""
    student, kept = programme.config.student, programme.config.labelling.signals
    if student.plan == "tokens":
        source = student.tokens.source if student.tokens else None
        return (source or ("cache" if "tokens" in kept else "online")) == "online"
    ranks = student.preference.rank if student.preference else None
    return student.plan == "on-policy" or (student.plan == "preference" and ranks == "likelihood")


def scoring_teacher(programme: Programme) -> TokenTeacher | None:
    """The teacher whose weights score tokens beside a student, None where none is wanted.

    Raises ConfigError where the teacher has no weights here, IntegrityError where they aren't those that
    answered.
    """
    if not learns_online(programme):
        return None
    from tutelage.distillation import TokenTeacher

    config = programme.config.teacher
    if config.type != "local":
        raise ConfigError(
            f"student.recipe {programme.config.student.plan} scores tokens by the teacher's weights, and a "
            f"teacher of type {config.type} has none that write. Mend: teacher.type local; or recipe tokens "
            "with labelling.signals [tokens]; or recipe sequence"
        )
    answered = storage.read_json(programme.teacher_record)["revision"]
    now = open_teacher(programme, read_training(programme.gold_training)).revision
    if now != answered:
        raise IntegrityError(
            f"the answers are of the teacher's revision {answered}, and its weights or settings are {now} "
            "now. Mend: `tutelage label`"
        )
    return TokenTeacher.at(config.model, programme.folder)


def signals_inputs(programme: Programme) -> Mapping[str, str]:
    """Fingerprints for `train`: of each wanted kind's manifest, which holds its shards' hashes."""
    folder = signals_folder(programme)
    return {
        f"answers/signals/{kind}": fingerprint(folder / kind / "manifest.json")
        for kind in programme.config.labelling.signals
    }
