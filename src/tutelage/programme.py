"""The programme folder, and the running of stages over it.

A stage names its inputs (each with a fingerprint) and its outputs (files or folders). It is skipped while
both are as they were when it last finished; otherwise it runs and says which of them differs.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tutelage import encryption, storage
from tutelage.config import ProgrammeConfig, load_config, located
from tutelage.errors import ConfigError, ProgrammeBusyError
from tutelage.ledger import Journal
from tutelage.progress import Progress

CONFIG_NAME = "tutelage.yaml"
# Places of the schema that may, though they shouldn't.
_MAY_HOLD_A_SECRET = re.compile(
    r"\s*(judging|stress|synthesis|serving(\s*\.\s*(database|webhook))?|((judging\s*\.\s*)?teacher|stress\s*\.\s*paraphraser|synthesis\s*\.\s*writer)\s*(\.\s*judge\s*)?(\.\s*(options|headers|extra|members)\b.*)?)\s*"
)


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class Programme:
    """One programme: its folder and what its `tutelage.yaml` says, overrides laid over it."""

    folder: Path
    config: ProgrammeConfig
    overrides: tuple[str, ...] = ()
    today: Callable[[], date] = field(default=_today, compare=False)

    @classmethod
    def open(
        cls, folder: Path | str, overrides: Sequence[str] = (), today: Callable[[], date] = _today
    ) -> Programme:
        """Open the programme in `folder`; `today` is the clock that rights and retention go by.

        Raises ConfigError; UsageError where it is encrypted, and the key absent or another one.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder. Mend: name the folder that holds {CONFIG_NAME}")
        config = load_config(folder / CONFIG_NAME, overrides)
        _settle_encryption(folder, config)
        return cls(folder, config, tuple(overrides), today)

    def command(self, words: str) -> str:
        """`tutelage` with these words and this folder, to be copied into a shell from where it was opened."""
        folder = "" if self.folder == Path() else f" {shlex.quote(str(self.folder))}"
        return f"`tutelage {words}{folder}`"

    @property
    def journalled_overrides(self) -> list[str]:
        """The overrides as the journal keeps them, out of which nothing can be taken: no secret's value."""
        return [
            f"{key}=..." if _MAY_HOLD_A_SECRET.fullmatch(key) else f"{key}{equals}{value}"
            for key, equals, value in (override.partition("=") for override in self.overrides)
        ]

    @property
    def journal(self) -> Journal:
        """`ledger.jsonl`."""
        return Journal(self.folder / "ledger.jsonl")

    @property
    def rulings(self) -> Path:
        """What persons decided on entries of the rights registry."""
        return self.folder / "rights" / "rulings.json"

    @property
    def sealed(self) -> Path:
        """The sealed gold set."""
        return self.folder / "gold" / "sealed.parquet"

    @property
    def seal(self) -> Path:
        """The seal: hashes, counts, labels, interval widths."""
        return self.folder / "gold" / "seal.json"

    @property
    def retired_seals(self) -> Path:
        """The folder of seals that were given up."""
        return self.folder / "gold" / "retired"

    @property
    def gold_training(self) -> Path:
        """Gold's training part."""
        return self.folder / "gold" / "training.parquet"

    @property
    def gold_calibration(self) -> Path:
        """Gold's calibration part, which only certificates are tested on."""
        return self.folder / "gold" / "calibration.parquet"

    @property
    def gold_rejected(self) -> Path:
        """Rows of gold's files that were not taken."""
        return self.folder / "gold" / "rejected.parquet"

    @property
    def to_label(self) -> Path:
        """Prompts drawn for gold, which people are to answer; nothing learns from them."""
        return self.folder / "gold" / "to_label.jsonl"

    @property
    def annotations(self) -> Path:
        """What people said the right answers are."""
        return self.folder / "gold" / "annotations.sqlite"

    @property
    def candidates(self) -> Path:
        """What people said of requests that a server drew at random; it may become gold."""
        return self.folder / "gold" / "candidates.jsonl"

    @property
    def annotated(self) -> Path:
        """What they settled; `gold` reads it beside gold's own file."""
        return self.folder / "gold" / "annotated.jsonl"

    @property
    def prompts(self) -> Path:
        """The traffic that may enter the transfer set."""
        return self.folder / "prompts" / "prompts.parquet"

    @property
    def prompts_rejected(self) -> Path:
        """Rows of the traffic's file that were not taken."""
        return self.folder / "prompts" / "rejected.parquet"

    @property
    def known_rows(self) -> Path:
        """Which rows of the traffic `collect` has read."""
        return self.folder / "prompts" / "known.parquet"

    @property
    def served(self) -> Path:
        """Prompts taken from what a server was asked; `collect` reads them beside the traffic."""
        return self.folder / "prompts" / "served.parquet"

    @property
    def server_state(self) -> Path:
        """What servers keep, where `serving.database` names no other place."""
        return self.folder / "serving" / "state.sqlite"

    @property
    def collecting(self) -> Path:
        """What `collect` keeps while it runs."""
        return self.folder / "prompts" / ".collecting"

    @property
    def profile(self) -> Path:
        """Counts and lengths of the traffic."""
        return self.folder / "prompts" / "profile.json"

    @property
    def coverage(self) -> Path:
        """How gold lies in the traffic: clusters, tests, leaks."""
        return self.folder / "prompts" / "coverage.json"

    @property
    def placed(self) -> Path:
        """Every text with its cluster, and gold with its weights."""
        return self.folder / "prompts" / "coverage.parquet"

    @property
    def synthetic(self) -> Path:
        """Prompts that a model wrote; marked, beside the traffic's and never among them."""
        return self.folder / "prompts" / "synthetic.parquet"

    @property
    def synthetic_rejected(self) -> Path:
        """What it wrote that was not taken."""
        return self.folder / "prompts" / "synthetic_rejected.parquet"

    @property
    def synthesis(self) -> Path:
        """Who wrote them from what, and how far they are from the traffic."""
        return self.folder / "prompts" / "synthesis.json"

    @property
    def pseudonyms(self) -> Path:
        """What pseudonyms stand for, encrypted under a key that lies elsewhere."""
        return self.folder / "privacy" / "pseudonyms.jsonl"

    @property
    def forgotten(self) -> Path:
        """Whose rows no source brings back: salted digests."""
        return self.folder / "privacy" / "forgotten.json"

    @property
    def purging(self) -> Path:
        """What a purge looks for, while it runs: one that was stopped is taken up by the next."""
        return self.folder / "privacy" / ".purging.json"

    @property
    def answers(self) -> Path:
        """The teacher ledger."""
        return self.folder / "answers" / "answers.sqlite"

    @property
    def transfer(self) -> Path:
        """The transfer set."""
        return self.folder / "answers" / "transfer.parquet"

    @property
    def plan(self) -> Path:
        """The prompts that the teacher is to be asked, where only a part of the traffic is."""
        return self.folder / "answers" / "plan.parquet"

    @property
    def quarantined(self) -> Path:
        """Answers that can't teach, each with its reason."""
        return self.folder / "answers" / "quarantined.parquet"

    @property
    def gold_answers(self) -> Path:
        """The teacher's answers to sealed gold; only evaluation reads them."""
        return self.folder / "answers" / "gold.parquet"

    @property
    def calibration_answers(self) -> Path:
        """The teacher's answers to gold's calibration part; only certificates read them."""
        return self.folder / "answers" / "calibration.parquet"

    @property
    def pilot(self) -> Path:
        """What the last pilot found of the ways of asking."""
        return self.folder / "answers" / "pilot.json"

    @property
    def teacher_record(self) -> Path:
        """Who answered, and by what right."""
        return self.folder / "answers" / "teacher.json"

    @property
    def student(self) -> Path:
        """The folder of this configuration's student."""
        return self.folder / "students" / self.config.student.run

    @property
    def exports(self) -> Path:
        """Where forms of this configuration's student lie: apart from it, which stays as training left it."""
        return self.folder / "exports" / self.config.student.run

    @property
    def certificates(self) -> Path:
        """Where the certificates of this configuration's student lie, one for each form."""
        return self.folder / "certificates" / self.config.student.run

    @property
    def evaluation(self) -> Path:
        """The folder of this configuration's evaluation."""
        return self.folder / "evaluation" / self.config.student.run

    @property
    def votes(self) -> Path:
        """What people voted, of all runs."""
        return self.folder / "evaluation" / "votes.sqlite"

    def locate(self, path: str) -> Path | str:
        """See `config.located`; relative to this folder."""
        return located(path, self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against other processes. Raises ProgrammeBusyError."""
        path = self.folder / "programme.lock"
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise ProgrammeBusyError(
                    f"{self.folder} is in use by process {file.read().strip() or 'unknown'}. "
                    "Mend: wait for it, or stop it; what it has done so far is kept"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def _settle_encryption(folder: Path, config: ProgrammeConfig) -> None:
    """Encrypt a folder without files yet where `tutelage.yaml` says so. Raises ConfigError, UsageError."""
    if encryption.is_marked(folder):
        encryption.require_key(folder)
    elif config.encryption is not None:
        if any(encryption.covers(folder, path) for path in folder.glob("*/*")):
            raise ConfigError(
                f"{folder / CONFIG_NAME} asks for encryption, and files of the folder are not encrypted. "
                f"Mend: `tutelage encryption on {shlex.quote(str(folder))}`"
            )
        encryption.mark(folder, config.encryption.key_env)


@dataclass(frozen=True)
class Stage:
    """A step of the lifecycle.

    `inputs` gives named fingerprints (see `fingerprint`), `outputs` what it leaves. `per_run` stages keep
    one state for each student run. `work` returns one line that says what it did. `needed_by` names the
    later stages that build on it; None: all of them. `wanted` tells whether `tutelage run` has it run, and
    other stages wait for it; it can be asked for by name all the same.
    """

    name: str
    inputs: Callable[[Programme], Mapping[str, str]]
    outputs: Callable[[Programme], Sequence[Path]]
    work: Callable[[Programme, Progress], str]
    per_run: bool = False
    needed_by: tuple[str, ...] | None = None
    wanted: Callable[[Programme], bool] = lambda _: True

    def state_path(self, programme: Programme) -> Path:
        """Where the stage remembers what it last did."""
        name = f"{self.name}.{programme.config.student.run}" if self.per_run else self.name
        return programme.folder / "state" / f"{name}.json"

    def reason_to_run(self, programme: Programme) -> str | None:
        """Why the stage has to run, or None where everything is as it left it."""
        path = self.state_path(programme)
        if not path.exists():
            return "it has not run yet"
        state = storage.read_json(path)
        now = dict(self.inputs(programme))
        for name in sorted(now.keys() | state["inputs"].keys()):
            if now.get(name) != state["inputs"].get(name):
                return f"{name} changed"
        for output in self.outputs(programme):
            name = str(output.relative_to(programme.folder))
            if not output.exists():
                return f"{name} is gone"
            if output.suffix != ".sqlite" and storage.hash_path(output) != state["outputs"].get(name):
                return f"{name} is not as it was left"
        return None

    def left(self, programme: Programme, output: Path) -> str:
        """The fingerprint of an output when the stage last finished: what a later stage reads builds on.

        Cheaper than hashing weights once more, and no less sure, since this stage is looked at before.
        """
        path = self.state_path(programme)
        outputs = storage.read_json(path)["outputs"] if path.exists() else {}
        found: str = outputs.get(str(output.relative_to(programme.folder)), "absent")
        return found

    def run(self, programme: Programme, progress: Progress, force: bool = False) -> bool:
        """Run the stage unless nothing has changed; return whether it ran. Journalled when it finishes.

        The stages before it must be up to date. Raises whatever its work raises.
        """
        reason = "it was asked for" if force else self.reason_to_run(programme)
        if reason is None:
            progress.stage(self.name, "skipped: nothing it depends on has changed", quiet=True)
            return False
        progress.stage(self.name, f"runs: {reason}")
        inputs = dict(self.inputs(programme))
        started = datetime.now(UTC)
        summary = self.work(programme, progress)
        seconds = (datetime.now(UTC) - started).total_seconds()
        self._keep_state(programme, inputs, summary, seconds)
        progress.stage(self.name, f"{summary} ({seconds:.1f} s)")
        return True

    def amend(self, programme: Programme, reason: str) -> None:
        """Take what stands there now for what the stage left, and journal why.

        For whoever changed its outputs on purpose; all of them have to be there.
        """
        self._keep_state(programme, self.inputs(programme), reason, 0.0)

    def _keep_state(
        self, programme: Programme, inputs: Mapping[str, str], summary: str, seconds: float
    ) -> None:
        outputs = {
            str(path.relative_to(programme.folder)): storage.hash_path(path)
            for path in self.outputs(programme)
            if path.suffix != ".sqlite"
        }
        state = {"inputs": dict(inputs), "outputs": outputs, "summary": summary, "seconds": seconds}
        programme.journal.append(
            "stage",
            stage=self.name,
            version=version("tutelage"),
            code=code_fingerprint(),
            seeds=_seeds_of(programme.config, inputs),
            overrides=programme.journalled_overrides,
            **state,
        )
        storage.write_json(self.state_path(programme), state)


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """A hash of Tutelage's own modules as installed: a version doesn't tell of a changed checkout."""
    root = Path(__file__).parent
    return storage.hash_json(
        [(path.relative_to(root).as_posix(), storage.hash_file(path)) for path in sorted(root.rglob("*.py"))]
    )


def _seeds_of(config: ProgrammeConfig, inputs: Mapping[str, str]) -> dict[str, Any]:
    """The seeds in those sections that a stage reads, by their keys."""
    read = {name.partition(".")[0] for name in inputs}
    return {key: seed for key, seed in _seeds_in(config.model_dump(mode="json")) if key.split(".")[0] in read}


def _seeds_in(section: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items() if isinstance(section, dict) else ():
        if name in ("seed", "seeds"):
            yield above + name, value
        else:
            yield from _seeds_in(value, f"{above}{name}.")


def fingerprint(value: Any) -> str:
    """A short hash: of a path's content (`absent` where there is none), else of the value's JSON."""
    if isinstance(value, Path):
        return storage.hash_path(value) if value.exists() else "absent"
    return storage.hash_json(value.model_dump(mode="json") if hasattr(value, "model_dump") else value)
