"""The schema of `tutelage.yaml`, section by section. Frozen.

Every key has a default where one can be right for most; what has none is what only its user knows.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tutelage.config.body import BODY_RECIPES, BodyConfig, PruneConfig, check_body
from tutelage.config.certify import CertifyConfig
from tutelage.config.coverage import WORDS, CoverageConfig
from tutelage.config.economics import EconomicsConfig
from tutelage.config.encryption import EncryptionConfig
from tutelage.config.engine import EngineConfig
from tutelage.config.export import ExportConfig
from tutelage.config.gold import GoldConfig
from tutelage.config.judging import JudgingConfig
from tutelage.config.preference import PreferenceConfig
from tutelage.config.privacy import PrivacyConfig
from tutelage.config.release import ReleaseConfig
from tutelage.config.retention import RetentionConfig
from tutelage.config.rights import RightsConfig
from tutelage.config.sampling import SampleConfig
from tutelage.config.section import Probability, Section, Share
from tutelage.config.serving import ServingConfig
from tutelage.config.sources import SourceConfig
from tutelage.config.stress import StressConfig
from tutelage.config.synthesis import SynthesisConfig
from tutelage.config.tasks import ClassifyConfig, TaskConfig
from tutelage.config.teachers import TeacherConfig
from tutelage.config.tokens import TOKEN_RECIPES, TokensConfig, check_tokens
from tutelage.config.traffic import TrafficConfig


class LabellingConfig(Section):
    """How teachers are asked."""

    budget: float | None = Field(
        None, ge=0.0, description="US dollars for this programme; no call is made that could pass it."
    )
    concurrency: int = Field(
        64,
        ge=1,
        le=1024,
        description="Most prompts asked at once, for teachers behind an API, by each worker of `engine`; how "
        "many are is found out, from 1 up.",
    )
    requests_per_minute: float | None = Field(
        None,
        gt=0.0,
        description="The endpoint's limit, where it is known; holds over any 60 seconds, samples counted.",
    )
    tokens_per_minute: float | None = Field(
        None, gt=0.0, description="Likewise, of tokens in and out together."
    )
    attempts: int = Field(
        8,
        ge=1,
        description="Tries of one call before its prompts are left without an answer. None counts "
        "that fails while no other call is answered either; one that the endpoint turned away counts a "
        "quarter.",
    )
    retry_share: float = Field(
        2.0,
        ge=0.0,
        description="Calls that may be made again, as a share of the prompts to ask, at least 10 in all; "
        "past it the run stops.",
    )
    patience: float = Field(
        600.0,
        ge=0.0,
        description="Seconds without any answer, each call failing, while the run waits for the endpoint; "
        "then it stops.",
    )
    deadline: float = Field(
        300.0,
        gt=0.0,
        description="Seconds for one call of a teacher behind an API, all its samples included; what it "
        "brought until then is kept.",
    )
    min_teacher_accuracy: Probability | None = Field(
        None, description="The teacher's least agreement with sealed gold; below it nothing else is asked."
    )
    repeats: int = Field(
        0,
        ge=0,
        description="Gold prompts asked a second time, to measure how far the teacher repeats itself.",
    )
    sample: SampleConfig | None = Field(
        None, description="The part of the traffic that is asked, see `tutelage plan`; all where absent."
    )
    corrections: SourceConfig | None = Field(
        None, description="Verdicts of people on answers; theirs win, and the teacher's is kept beside them."
    )
    signals: tuple[Literal["tokens", "embeddings", "hidden_states"], ...] = Field(
        (),
        description="What is kept of answers beside value and distribution, for students that learn from it.",
    )
    top_k: int = Field(20, ge=1, le=200, description="Alternatives kept of each token, for `tokens`.")
    hidden_layers: tuple[int, ...] = Field(
        (-1,),
        min_length=1,
        description="Layers kept for `hidden_states`: 0 the embeddings, 1 the first, -1 the last.",
    )
    max_failed_share: Probability = Field(
        0.01, description="Share of traffic prompts that may stay without an answer after all their tries."
    )
    poll: float = Field(
        10.0,
        gt=0.0,
        description="Seconds until a provider's batch (`teacher.batch`) is looked at; half as long again "
        "each time, at most 300.",
    )
    wait: float = Field(
        0.5,
        gt=0.0,
        description="Seconds before the second try; doubles with jitter, at most 15, "
        "unless the teacher says how long. Twice that before the first probe of one that seems down; "
        "before later ones at most 30.",
    )


class PromptingConfig(Section):
    """How a prompted teacher is asked, beside the task's instruction."""

    instruction: str | None = Field(None, description="In place of `task.instruction`.")
    examples: int = Field(
        0, ge=0, le=200, description="Examples shown, taken from gold's training part, spread over labels."
    )
    rationale: Literal["none", "before", "after"] = Field(
        "none",
        description="Whether the teacher gives its reasons, and where.",
    )
    seed: int = Field(0, ge=0, description="Of the choice of examples.")


class LoraConfig(Section):
    """Low-rank adapters (Hu et al. 2022), for students too large to be trained whole."""

    rank: int = Field(16, ge=1, description="Rank of each adapter.")
    alpha: int | None = Field(
        None, ge=1, description="Adapters count alpha / rank; twice the rank where absent."
    )
    targets: tuple[str, ...] | None = Field(
        None, description="Names of the linear layers that get one, e.g. `q_proj`; all where absent."
    )


# Keys that only some families, or recipes, take. What isn't named here all of them do.
_KeysOf = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
_TRANSFORMERS = ("encoder", "causal", "seq2seq")
_WRITERS = ("causal", "seq2seq")
_KEYS_OF_FAMILIES: _KeysOf = (
    (_TRANSFORMERS, ("base", "layers", "hidden_size", "heads", "intermediate_size")),
    (("static",), ("members",)),
    (_WRITERS, ("max_answer_tokens", "template", "refusals")),
    (("causal",), ("lora",)),
)
_FAMILIES_OF_RECIPES: dict[str, tuple[str, ...]] = {
    "soft-targets": ("encoder", "static"),
    "integrated": ("encoder", "static"),
    "self": ("encoder", "static"),
    **dict.fromkeys(BODY_RECIPES, ("encoder",)),
    "static": ("static",),
    "prune-recover": ("encoder",),
    "sequence": _WRITERS,
    "step-by-step": ("seq2seq",),
    "rationale-causal": ("causal",),
    **dict.fromkeys((*TOKEN_RECIPES, "preference"), _WRITERS),
}
_KEYS_OF_RECIPES: _KeysOf = (
    (("soft-targets", "self", "prune-recover", *BODY_RECIPES), ("hard_weight",)),
    (
        ("soft-targets", "integrated", "self", "prune-recover", *BODY_RECIPES, *TOKEN_RECIPES),
        ("temperature",),
    ),
    (("prune-recover",), ("prune",)),
    (("self",), ("generations", "ensemble", "exits", "exit")),
    (BODY_RECIPES, ("body",)),
    (TOKEN_RECIPES, ("tokens",)),
    (("preference",), ("preference",)),
    (("rationale-causal",), ("rationale",)),
    (("step-by-step",), ("rationale_weight",)),
)


class StudentConfig(Section):
    """The small model and how it learns."""

    family: Literal["encoder", "static", "causal", "seq2seq"] = Field(
        "encoder",
        description="Transformer encoder, or pooled token embeddings; or models that write: `causal`, "
        "and `seq2seq` (encoder and decoder).",
    )
    name: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]*$",
        description="Names the run; the family, with `-<layers>` where it has some, where absent.",
    )
    base: str | None = Field(
        None,
        description="Model that the student is initialised from: a folder or a hub name, for `causal` also "
        "a GGUF file. Where absent `minilm-l6` for `encoder`, `smollm2-135m` for `causal`; `seq2seq` needs "
        "one. For `static` only its word pieces would matter, so it takes none.",
    )
    layers: int | None = Field(
        None,
        ge=1,
        description="Transformer layers, evenly spaced from the base, of `seq2seq` in encoder and decoder "
        "each; where absent 3 for `encoder`, else all of the base's.",
    )
    hidden_size: int | None = Field(
        None,
        ge=1,
        description="Width of a student of its own shape (layers of random weights), e.g. 312; "
        "the base's where absent.",
    )
    heads: int | None = Field(None, ge=1, description="Attention heads of such a student, e.g. 12.")
    intermediate_size: int | None = Field(
        None, ge=1, description="Feed-forward width of such a student, e.g. 1200."
    )
    members: int | None = Field(
        None,
        ge=1,
        le=10,
        description="Static students trained from seeds of their own and averaged into one table, which "
        "costs nothing at inference; 3 where absent.",
    )
    max_tokens: int = Field(
        128, gt=0, description="Longer texts are cut; the answers that students write never are."
    )
    max_answer_tokens: int | None = Field(
        None,
        gt=0,
        description="Most tokens that a student writes; a quarter more than the longest answer it learned "
        "from where absent.",
    )
    template: Literal["own", "teacher"] | None = Field(
        None,
        description="How a student that writes is asked: `own`, the text with a word or two; `teacher`, as "
        "the teacher is. Where absent `teacher` for `tokens` and `on-policy`, else `own`.",
    )
    lora: LoraConfig | None = Field(
        None, description="Low-rank adapters in place of all weights; merged when the student is saved."
    )
    recipe: (
        Literal[
            "soft-targets",
            "integrated",
            "self",
            "static",
            "prune-recover",
            "distilbert",
            "tinybert",
            "minilm",
            "sequence",
            "step-by-step",
            "rationale-causal",
            "tokens",
            "on-policy",
            "preference",
        ]
        | None
    ) = Field(
        None,
        description="The training plan; where absent `soft-targets` for families of labels, `sequence` for "
        "those that write. `integrated` takes human labels in place of the teacher's answers where there are "
        "any. `self`: the student is its own teacher, see `generations` and `exits`. "
        "`static` begins a static student with what the teacher's body makes of words. "
        "`prune-recover` prunes the base to `layers`, `hidden_size`, `heads` and `intermediate_size`, each "
        "of which may be absent. "
        "`distilbert`, `tinybert` and `minilm` teach an encoder's layers before the task. "
        "See docs/students.md and docs/methods.md.",
    )
    body: BodyConfig | None = Field(
        None, description="Of recipes that learn from layers: how these are taught."
    )
    prune: PruneConfig | None = Field(None, description="Of `prune-recover`: what else is done.")
    generations: int | None = Field(
        None,
        ge=1,
        le=10,
        description="For `self`: students trained one after the other, each taught by the one before; "
        "2 where absent.",
    )
    ensemble: bool | None = Field(
        None,
        description="For `self` and family `static`: the mean of all generations, which costs nothing at "
        "inference, in place of the last. No where absent.",
    )
    exits: bool | None = Field(
        None,
        description="For `self` and family `encoder`: in place of generations a head after every layer, the "
        "deepest teaching the others. No where absent.",
    )
    exit: int | None = Field(
        None,
        ge=1,
        description="With `exits`: the layer, from 1, that answers in the end; those above it are dropped. "
        "The deepest where absent.",
    )
    tokens: TokensConfig | None = Field(
        None, description="Of `tokens` and `on-policy`: how the teacher's tokens teach."
    )
    preference: PreferenceConfig | None = Field(
        None, description="Of `preference`: how answers are written and ranked."
    )
    rationale: Literal["before", "after"] | None = Field(
        None, description="Where `rationale-causal` has reasons stand: `before` the answer where absent."
    )
    rationale_weight: float | None = Field(
        None,
        gt=0.0,
        description="Weight of reasons in `step-by-step`, beside 1 for answers; 1 if absent.",
    )
    refusals: bool | None = Field(
        None,
        description="For task `generate` and families that write: whether the student learns to decline "
        "where the teacher did, in its words; no where absent.",
    )
    temperature: float | None = Field(
        None, gt=0.0, description="Softens teacher and student alike; the family's default where absent."
    )
    hard_weight: Probability | None = Field(
        None, description="Weight of the human label where a prompt has one; the rest is the teacher's."
    )
    epochs: int | None = Field(
        None, gt=0, description="Passes over the transfer set at most; chosen by its size where absent."
    )
    batch_size: int | None = Field(
        None, gt=0, description="Prompts a step; the family's default where absent."
    )
    learning_rate: float | None = Field(
        None, gt=0.0, description="Peak rate; the family's default where absent."
    )
    accumulation: int = Field(
        1,
        ge=1,
        description="Parts in which a step's batch is taken in turn, where it doesn't fit in memory.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of activations in training; weights are float32. `auto`: bfloat16 where a GPU has it.",
    )
    shard: bool = Field(
        False,
        description="Whether each of several processes (torchrun) holds a part of weights, gradients and the "
        "optimiser's state, for a student that one GPU can't hold. Not for static students or `on-policy`.",
    )
    validation: Share = Field(
        0.1, description="Share of the transfer set held back to stop early. Never gold."
    )
    seed: int = Field(0, ge=0, description="Of weights, order and split.")
    control: Literal["auto", "gold", "teacher"] = Field(
        "auto",
        description="Hard labels of the control arm: humans', or the "
        "teacher's; `auto` takes humans' where gold has a training part of ten or more.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> StudentConfig:
        own_shape = (self.hidden_size, self.heads, self.intermediate_size)
        if any(own_shape) and not all(own_shape) and self.plan != "prune-recover":
            raise ValueError(
                "a student of its own shape needs hidden_size, heads and intermediate_size together"
            )
        if self.hidden_size and self.heads and self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of heads {self.heads}")
        self._check_family()
        check_body(self.plan, self.body, self.hidden_size)
        self._check_own_teacher()
        check_tokens(self.plan, self.tokens, self.template)
        return self

    def _check_own_teacher(self) -> None:
        """Raise ValueError where the keys of recipe `self` don't go together."""
        if self.exits and self.family != "encoder":
            raise ValueError(f"exits are after layers, which family {self.family} has none of")
        if self.exits and (self.generations or self.ensemble):
            raise ValueError("exits take the place of generations. Mend: leave generations and ensemble out")
        if self.exit and not self.exits:
            raise ValueError("exit names one of exits. Mend: exits: true")
        if self.ensemble and self.family != "static":
            raise ValueError(
                f"generations of family {self.family} have no mean that costs what one does. "
                "Mend: leave ensemble out, or family static"
            )

    def _check_family(self) -> None:
        """Raise ValueError for keys of another family or recipe, and where the family lacks what it needs."""
        families = _FAMILIES_OF_RECIPES[self.plan]
        if self.family not in families:
            raise ValueError(f"recipe {self.plan} teaches family {' or '.join(families)}, not {self.family}")
        self._check_keys("family", self.family, _KEYS_OF_FAMILIES)
        self._check_keys("recipe", self.plan, _KEYS_OF_RECIPES)
        if self.family == "seq2seq" and self.base is None:
            raise ValueError(
                "family seq2seq needs base, a folder or a hub name such as google/flan-t5-small; with "
                "hidden_size, heads and intermediate_size only its tokenizer and kind are taken"
            )

    def _check_keys(self, kind: str, own: str, keys_of: _KeysOf) -> None:
        for owners, keys in keys_of:
            given = [key for key in keys if getattr(self, key) is not None]
            if given and own not in owners:
                raise ValueError(
                    f"{' and '.join(given)} {'belong' if len(given) > 1 else 'belongs'} to {kind} "
                    f"{' or '.join(owners)}, not {own}"
                )

    @property
    def writes(self) -> bool:
        """Whether the family writes text."""
        return self.family in _WRITERS

    @property
    def learns_reasons(self) -> bool:
        """Whether it learns to say the teacher's reasons, whatever the task."""
        return self.plan in ("step-by-step", "rationale-causal")

    @property
    def plan(self) -> str:
        """`recipe`, or what holds where it is absent."""
        return self.recipe or ("sequence" if self.writes else "soft-targets")

    @property
    def cuts_vocabulary(self) -> bool:
        """Whether `prune-recover` does."""
        return self.prune is None or self.prune.vocabulary

    @property
    def asked_as(self) -> Literal["own", "teacher"]:
        """`template`, or what holds where it is absent."""
        return self.template or ("teacher" if self.plan in TOKEN_RECIPES else "own")

    @property
    def run(self) -> str:
        """The run's folder name."""
        is_whole = self.family != "encoder" or self.plan == "prune-recover"
        layers = self.layers or (None if is_whole else 3)
        return self.name or (f"{self.family}-{layers}" if layers else self.family)


class ComparisonConfig(Section):
    """What `tutelage compare` sets beside each other."""

    candidates: dict[str, StudentConfig] = Field(
        {},
        description="Students by name, each as the section `student` has one; where there are none, "
        "`student` and a few of other sizes.",
    )
    seeds: tuple[int, ...] = Field(
        (0, 1, 2), min_length=1, description="Every candidate is trained once with each."
    )
    selection: Share = Field(
        0.2,
        description="Share of the transfer set held back to compare on. Sealed gold is never chosen on.",
    )
    margin: float = Field(
        0.02,
        ge=0.0,
        lt=1.0,
        description="The smallest student that loses no more than this against the best is proposed.",
    )

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("seeds have to be distinct numbers from 0 on")
        return seeds


class ProgrammeConfig(Section):
    """The whole file."""

    task: TaskConfig = Field(ClassifyConfig(), description="The behaviour to transfer.")
    rights: RightsConfig = Field(RightsConfig(), description="What will be done with the student.")
    gold: GoldConfig = Field(description="Human-labelled examples.")
    traffic: TrafficConfig = Field(description="Unlabelled prompts.")
    privacy: PrivacyConfig | None = Field(
        None,
        description="Redaction of personal data, `{}` for the defaults; where absent texts stay as they are.",
    )
    retention: RetentionConfig = Field(
        RetentionConfig(), description="How long rows are kept, by how sensitive they are."
    )
    encryption: EncryptionConfig | None = Field(
        None, description="Encryption on disk, `{}` for the defaults; where absent files stay readable."
    )
    teacher: TeacherConfig = Field(description="Who answers.")
    prompting: PromptingConfig = Field(PromptingConfig(), description="How a prompted teacher is asked.")
    prompt_versions: dict[str, PromptingConfig] = Field(
        {},
        description="Other ways of asking, by name, that `tutelage label --pilot` compares with `prompting`.",
    )
    labelling: LabellingConfig = Field(LabellingConfig(), description="How the teacher is asked.")
    synthesis: SynthesisConfig | None = Field(
        None,
        description="Prompts that a model writes where the traffic is thin or hard, `{}` for the defaults; "
        "none where absent.",
    )
    student: StudentConfig = Field(StudentConfig(), description="The small model.")
    comparison: ComparisonConfig = Field(
        ComparisonConfig(), description="Students that `tutelage compare` sets beside each other."
    )
    export: ExportConfig = Field(ExportConfig(), description="Forms of the student for a server.")
    certify: CertifyConfig = Field(
        CertifyConfig(), description="From which confidence on the student may answer, and with what bounds."
    )
    serving: ServingConfig = Field(ServingConfig(), description="The server in front of teacher and student.")
    coverage: CoverageConfig = Field(CoverageConfig(), description="Whether gold is like the traffic.")
    stress: StressConfig | None = Field(
        None,
        description="Perturbations and safety suites, `{}` for the defaults; where absent only "
        "`tutelage stress` measures them.",
    )
    release: ReleaseConfig = Field(ReleaseConfig(), description="Terms of release.")
    judging: JudgingConfig | None = Field(
        None, description="A model that votes on pairs of answers: `tutelage vote --judge`."
    )
    economics: EconomicsConfig = Field(
        EconomicsConfig(), description="What money questions need beside what is measured."
    )
    engine: EngineConfig = Field(EngineConfig(), description="Where the heavy work runs.")

    @model_validator(mode="after")
    def _teacher_has_what_it_needs(self) -> ProgrammeConfig:
        parts = self.teacher.parts if self.teacher.type == "ensemble" else (self.teacher,)
        if any(part.type == "encoder" for part in parts) and self.gold.training is None:
            raise ValueError(
                "a teacher is of type encoder, whose head is fitted on gold.training, and there is none. "
                "Mend: add gold.training with a share"
            )
        if self.synthesis is not None:
            self.synthesis.check_teacher(self.teacher)
        if self.traffic.semantic_duplicate is not None and self.coverage.embedding == WORDS:
            raise ValueError(
                "traffic.semantic_duplicate compares by meaning, and coverage.embedding is words. Mend: "
                "coverage.embedding: minilm-l6, or another sentence encoder"
            )
        if self.student.writes and isinstance(self.task, ClassifyConfig) and self.task.multi_label:
            raise ValueError(
                f"student.family is {self.student.family}, which weighs one label against the others, and "
                "task.multi_label allows several. Mend: student.family encoder or static"
            )
        limits = [key for key in ("max_cost_per_1000", "max_cost_share") if getattr(self.release, key)]
        if limits and self.economics.monthly is None:
            raise ValueError(
                f"release.{limits[0]} limits what a request costs, which hangs on how many there are. "
                "Mend: add economics.monthly, requests a month"
            )
        students = {"student": self.student} | {
            f"comparison.candidates.{name}": one for name, one in self.comparison.candidates.items()
        }
        declining = [where for where, student in students.items() if student.refusals]
        if declining and self.task.type != "generate":
            raise ValueError(
                f"{declining[0]}.refusals is true, and task.type is {self.task.type}, which has no refusals. "
                "Mend: leave it out; a task with labels declines by task.out_of_scope"
            )
        if self.student.control == "gold" and self.gold.training is None:
            raise ValueError(
                "student.control is gold, and gold.training is absent. Mend: add it, or say teacher"
            )
        return self
