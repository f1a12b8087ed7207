"""Paraphrases of sealed gold, for `stress`: written by a model, kept in the ledger, learned by nobody."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.config import SoleTeacherConfig
from tutelage.data import read_training
from tutelage.evaluation import PARAPHRASE, Pair, Perturbed
from tutelage.labelling import AnswerLedger, LedgerKey
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import SealedGold
from tutelage.scale import open_engine
from tutelage.stages.asking import put
from tutelage.stages.findings import tell_bound, tell_price
from tutelage.stages.label import require_gold
from tutelage.stages.rights import require_helper_rights
from tutelage.tasks import Generate
from tutelage.teachers import TeacherContext

_TASK = Generate(
    "Rewrite the message in other words, as another person would write it. Keep what it means and asks for, "
    "its language, and every name, number and date. Don't answer it."
)


def paraphrased(
    programme: Programme, config: SoleTeacherConfig, gold: Sequence[SealedGold], progress: Progress
) -> list[Perturbed]:
    """Each example in other words, where the paraphraser wrote some; behind the rights and gold gates.

    Whether a paraphrase means the same nobody has looked at; that teacher and student get the same one is
    what makes their flips comparable. Raises as `label`; what was written is kept.
    """
    rights = require_helper_rights(programme, "the paraphraser", config)
    context = TeacherContext(_TASK, read_training(programme.gold_training), programme.folder)
    prompts = [item.prompt for item in gold]
    with (
        AnswerLedger(programme.answers) as ledger,
        open_engine(programme.config.engine, progress) as engine,
    ):
        paraphraser = engine.build_teacher(config, context)
        require_gold(programme, paraphraser, progress)
        tell_price(config, progress)
        key = LedgerKey.of(paraphraser, _TASK)
        open_ = ledger.unanswered(key, prompts)
        progress.note(f"{len(prompts):,} examples in other words, {len(open_):,} of them yet to be written")
        tell_bound(paraphraser, open_, programme.config.labelling.budget, progress)
        put(programme, paraphraser, prompts, _TASK, ledger, progress, rights, engine)
        written = ledger.get_many(key, [prompt.hash for prompt in prompts])
    values = [answer.value if (answer := written.get(item.prompt.hash)) else None for item in gold]
    if unusable := sum(not isinstance(value, str) for value in values):
        progress.warn(f"{unusable:,} examples have no paraphrase that can be used")
    return [
        Perturbed(PARAPHRASE, item, Pair(item.prompt.text, value))
        for item, value in zip(gold, values, strict=True)
        if isinstance(value, str) and value != item.prompt.text.strip()
    ]
