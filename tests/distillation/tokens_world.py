"""A teacher that knows how likely each of four answers is to two made-up words, and says one of them.

The odds follow from the words' kind. What the teacher says of a pair is one draw, which tells little; its
distribution tells all. A student is asked about pairs that nobody has seen.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import numpy as np

from tiny_world import save_writer
from tutelage.config import LocalTeacherConfig, StudentConfig
from tutelage.distillation import TextSignals, TokenCache, distil_texts
from tutelage.progress import Silent
from tutelage.records import Prompt
from tutelage.students.writing import WritingStudent
from tutelage.tasks import Generate
from tutelage.teachers import TeacherContext, build_teacher

TASK = Generate("Say it.")
THINGS = ("red", "blue", "green", "black")
_ODDS = {"up": (0.5, 0.3, 0.15, 0.05), "down": (0.05, 0.15, 0.3, 0.5)}
_KINDS = {
    "up": "bako dilu fera gonu hisa jemo".split(),
    "down": "kuta lepo mizi noru pafe quso".split(),
}
_PAIRS = [(f"{one} {other}", kind) for kind, words in _KINDS.items() for one in words for other in words]
random.Random(5).shuffle(_PAIRS)
TEXTS = tuple(text for text, _ in _PAIRS)
ODDS = np.array([_ODDS[kind] for _, kind in _PAIRS])
LEARNED = 40
# Nothing but the words, so that prompts are short.
CHAT = "{% for turn in messages %}{% if turn.role == 'user' %}{{ turn.content }}{% endif %}{% endfor %} >"
SHAPE = {"layers": 2, "hidden_size": 32, "heads": 4, "intermediate_size": 64, "batch_size": 20}


def save_base(folder: Path, kind: str = "causal", **options) -> Path:
    """A random model whose vocabulary has the words; `options` as of `save_writer`."""
    corpus = [*(f"{text} >" for text in TEXTS), *THINGS * 20]
    return save_writer(folder, kind, **{"chat_template": CHAT, "corpus": corpus, **options})


def config_of(family: str = "causal", recipe: str = "tokens", **config) -> StudentConfig:
    """A student of random weights on the base that has its family's name."""
    given = {"family": family, "base": family, "recipe": recipe, "learning_rate": 5e-3, "epochs": 80, **SHAPE}
    return StudentConfig(**given | config)


def learn(models: Path, signals: TextSignals, config: StudentConfig, **options):
    """A student's training, from `signals`."""
    return distil_texts(signals, TASK, config, models, Silent(), **options)


def save_teacher(models: Path, family: str = "causal", name: str = "teacher", odds=ODDS) -> Path:
    """A model that has learned the odds, as a user would have it on disk: `<family>-<name>`."""
    generator = np.random.default_rng(0)
    rows = [place for place in range(len(TEXTS)) for _ in range(24)]
    said = tuple(str(generator.choice(THINGS, p=odds[place])) for place in rows)
    texts = tuple(TEXTS[place] for place in rows)
    signals = TextSignals(texts, said, ("",) * len(rows), (None,) * len(rows))
    plan = config_of(family, "sequence", template="teacher", epochs=4, batch_size=48)
    folder = models / f"{family}-{name}"
    folder.mkdir()
    learn(models, signals, plan).student.save(folder)
    return folder


def taught(models: Path, family: str = "causal", k: int = 8) -> TextSignals:
    """What the teacher says of the texts to be learned from, with its distribution over each token."""
    config = LocalTeacherConfig(
        rights="own", model=f"{family}-teacher", max_output_tokens=8, temperature=1.0, seed=2
    )
    teacher = build_teacher(config, TeacherContext(TASK, (), models, k))
    texts = TEXTS[:LEARNED]
    answers = asyncio.run(teacher.answer([Prompt(text, text) for text in texts]))
    cache = TokenCache(teacher.token_manifest(), tuple(answer.tokens for answer in answers))
    values = tuple(answer.value or "" for answer in answers)
    return TextSignals(texts, values, ("",) * len(texts), (None,) * len(texts), cache)


def shuffled(signals: TextSignals) -> TextSignals:
    """The same answers and distributions, each of another text."""
    order = np.random.default_rng(1).permutation(len(signals))
    return replace(signals.take(order), texts=signals.texts)


def distance(student: WritingStudent) -> float:
    """Mean total variation between the student's distribution over the four and the odds, on unseen texts."""
    return float(0.5 * np.abs(_distributions(student) - ODDS[LEARNED:]).sum(axis=1).mean())


def favourite(student: WritingStudent) -> float:
    """Mean probability of what the teacher finds likeliest, given that it is one of the four, on unseen texts."""
    found = _distributions(student)
    found /= found.sum(axis=1, keepdims=True)
    return float(found[np.arange(len(found)), ODDS[LEARNED:].argmax(axis=1)].mean())


def _distributions(student: WritingStudent) -> np.ndarray:
    """[unseen texts, four]; what else the student might say is left."""
    model = student._model
    things = [[*model.text_ids(thing), model.tokenizer.eos_token_id] for thing in THINGS]
    prompts = [student._codec.prompt(text, 100) for text in TEXTS[LEARNED:]]
    return np.exp([model.weigh(prompt, things) for prompt in prompts])
