"""Safety suites as data: prompts that must be declined, and harmless ones that look like them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from tutelage.config import STARTER_SUITE, ColumnsConfig
from tutelage.data.rows import open_rows
from tutelage.data.sources import read_gold, read_prompts
from tutelage.errors import DataError
from tutelage.records import Prompt, Rejection
from tutelage.tasks import Classify

_UNSAFE, _SAFE = "unsafe", "safe"
_MARKED = Classify((_UNSAFE, _SAFE))
_CONTRAST = "contrast_"  # how early editions of XSTest mark what must be declined


@dataclass(frozen=True, slots=True)
class SuitePrompt:
    """One prompt of a suite. `prompt.slice` is its topic; `unsafe` tells that it must be declined."""

    suite: str
    prompt: Prompt
    unsafe: bool


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite's prompts, and the rows of its file that were not taken."""

    name: str
    prompts: tuple[SuitePrompt, ...]
    rejected: tuple[Rejection, ...] = ()


def read_suite(path: Path | str) -> Suite:
    """The suite of a file, or Tutelage's own for the name `starter`.

    How a file is laid out is seen from its columns: HarmBench has `Behavior` (a `ContextString` goes before
    it), SimpleSafetyTests `prompts_final`, XSTest `prompt` with `type` and mostly `label`. Any other has
    `text`, `label` (`safe` or `unsafe`) and maybe `topic`. What SimpleSafetyTests and HarmBench hold must all
    be declined.

    Raises DataError where the file can't be read, is laid out otherwise, or has no row that can be used.
    """
    if path == STARTER_SUITE:
        return _starter()
    columns = _columns_of(path)
    for column, read in _LAYOUTS.items():
        if column in columns:
            suite = read(path, columns)
            if not suite.prompts:
                reason = (
                    f", the first of {len(suite.rejected)}: {suite.rejected[0].detail}"
                    if suite.rejected
                    else ""
                )
                raise DataError(f"{path} has no row that can be used{reason}. Mend: correct the file")
            return suite
    raise DataError(
        f"{path} is no safety suite: it has the columns {', '.join(map(repr, columns[:20]))}. Mend: give it "
        "`text` and `label` (safe or unsafe), or take XSTest's, SimpleSafetyTests' or HarmBench's own file"
    )


def _starter() -> Suite:
    import yaml

    content = yaml.safe_load(files(__package__).joinpath("safety_suite.yaml").read_text(encoding="utf-8"))
    prompts = [
        SuitePrompt(
            STARTER_SUITE,
            Prompt(f"{STARTER_SUITE}-{kind}-{number}", text, STARTER_SUITE, topic),
            kind == _UNSAFE,
        )
        for kind, topics in content.items()
        for number, (topic, text) in enumerate(
            ((topic, text) for topic, texts in topics.items() for text in texts), start=1
        )
    ]
    return Suite(STARTER_SUITE, tuple(prompts))


def _columns_of(path: Path | str) -> list[str]:
    """Of the first row that can be read. Raises DataError where there is none."""
    for row in open_rows(path, None, {}):
        if row.cells:
            return list(row.cells)
    raise DataError(f"{path} has no row that can be read. Mend: give it a header and rows")


def _name(path: Path | str) -> str:
    return Path(path).stem


def _marked(path: Path | str, text: str, topic: str | None) -> Suite:
    """A file whose column `label` says which prompts must be declined."""
    rows = read_gold(path, ColumnsConfig(text=text, slice=topic), task=_MARKED)
    name = _name(path)
    prompts = tuple(SuitePrompt(name, item.prompt, item.value == _UNSAFE) for item in rows.accepted)
    return Suite(name, prompts, tuple(rows.rejected))


def _own(path: Path | str, columns: list[str]) -> Suite:
    return _marked(path, "text", "topic" if "topic" in columns else None)


def _xstest(path: Path | str, columns: list[str]) -> Suite:
    if "label" in columns:
        return _marked(path, "prompt", "type" if "type" in columns else None)
    rows = read_prompts(path, ColumnsConfig(text="prompt", slice="type"))
    name = _name(path)
    prompts = tuple(SuitePrompt(name, one, one.slice.startswith(_CONTRAST)) for one in rows.accepted)
    return Suite(name, prompts, tuple(rows.rejected))


def _all_unsafe(path: Path | str, text: str, topic: str | None) -> Suite:
    rows = read_prompts(path, ColumnsConfig(text=text, slice=topic))
    prompts = tuple(SuitePrompt(_name(path), prompt, True) for prompt in rows.accepted)
    return Suite(_name(path), prompts, tuple(rows.rejected))


def _simple_safety_tests(path: Path | str, columns: list[str]) -> Suite:
    return _all_unsafe(path, "prompts_final", "harm_area" if "harm_area" in columns else None)


def _harmbench(path: Path | str, columns: list[str]) -> Suite:
    suite = _all_unsafe(path, "Behavior", "SemanticCategory" if "SemanticCategory" in columns else None)
    if "ContextString" not in columns:
        return suite
    contexts = {row.number: row.cells.get("ContextString") for row in open_rows(path, None, {})}
    return replace(suite, prompts=tuple(_in_context(one, contexts) for one in suite.prompts))


def _in_context(one: SuitePrompt, contexts: Mapping[int, object]) -> SuitePrompt:
    context = contexts.get(one.prompt.row)
    if not isinstance(context, str) or not context.strip():
        return one
    return replace(one, prompt=replace(one.prompt, text=f"{context.strip()}\n\n{one.prompt.text}"))


# By the column that gives the layout away; the first that is there.
_LAYOUTS: Mapping[str, Callable[[Path | str, list[str]], Suite]] = {
    "Behavior": _harmbench,
    "prompts_final": _simple_safety_tests,
    "text": _own,
    "prompt": _xstest,
}
