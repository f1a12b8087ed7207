"""Reading `tutelage.yaml`: overrides laid over it, and faults said so that they can be mended."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from tutelage.config.schema import ProgrammeConfig
from tutelage.config.section import Section
from tutelage.config.teachers import AS_TEACHER
from tutelage.errors import ConfigError


def load_config(path: Path, overrides: Sequence[str] = ()) -> ProgrammeConfig:
    """Read `tutelage.yaml`, with `key.key=value` overrides laid over it.

    Raises ConfigError naming the file, every key at fault, and for an unknown key the nearest known one.
    """
    import yaml

    try:
        content = _load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} doesn't exist. Mend: run `tutelage init`, or name the programme's folder"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}). Mend: save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path}{_yaml_fault(error)}") from error
    if not isinstance(content, dict):
        holds = "is empty" if content is None else f"holds {type(content).__name__}, not sections"
        raise ConfigError(
            f"{path} {holds}. Mend: write one with `tutelage init`, or see docs/tutelage.yaml.md"
        )
    for override in overrides:
        _lay_over(content, override)
    return parse_config(content, str(path))


def _yaml_fault(error: Exception) -> str:
    """Where and why a text is no YAML, in a line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return f" is not YAML: {error}"
    mend = "Mend: correct that line, or the one before"
    if "'\\t'" in problem:
        mend = "Mend: indent with spaces; YAML takes no tabs"
    return f", line {mark.line + 1}, column {mark.column + 1}, is not YAML: {problem}. {mend}"


def _load(text: str) -> Any:
    """YAML in which no key stands twice; PyYAML alone would take the last one without a word."""
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            lines: dict[str, int] = {}
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key.value in lines and key.tag != "tag:yaml.org,2002:merge":
                    raise yaml.YAMLError(
                        f"{key.value!r} stands in line {lines[key.value]} and again in line "
                        f"{key.start_mark.line + 1}. Mend: keep one"
                    )
                lines[key.value] = key.start_mark.line + 1
            content: dict[Any, Any] = super().construct_mapping(node, deep=deep)
            return content

    return yaml.load(text, Loader=UniqueKeys)  # noqa: S506 - a safe loader's kind


def parse_config(content: Mapping[str, Any], where: str) -> ProgrammeConfig:
    """Validate what a file holds. Raises ConfigError as `load_config`."""
    try:
        return ProgrammeConfig.model_validate(content)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise ConfigError(f"{where}:\n  " + "\n  ".join(lines)) from error


def _lay_over(content: dict[str, Any], override: str) -> None:
    import yaml

    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"--set {override!r} is not of the form section.key=value")
    section = content
    for key in keys[:-1]:
        below = section.setdefault(key, {})
        if not isinstance(below, dict):
            raise ConfigError(f"--set {override!r}: {key!r} is no section")
        section = below
    try:
        section[keys[-1]] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"--set {override!r}: the value is not YAML: {error}") from error


_MAY_HOLD_A_KEY = {"api_key_env", "headers", "options", "extra"}  # what was given isn't shown of these
_NO_SECTION = "Should be a section, that is lines of `key: value` below it"
# Keys that hold a section whose `type` says which keys it has, and the section of the file that tells of it.
_WITH_KINDS = {
    "task": "task",
    **dict.fromkeys(("teacher", "judge", "paraphraser", "writer"), "teacher"),
}


def _kinds_of(section: str) -> dict[str, type[Section]]:
    """What `task` or `teacher` may be, by `type`."""
    kinds = sections_in(ProgrammeConfig.model_fields[section].annotation)
    return {kind.model_fields["type"].default: kind for kind in kinds}


@dataclass(frozen=True)
class _Place:
    """Where a fault is: as the file has it, and among the documented keys.

    `told` leaves out what pydantic adds, the kind of a section. `known` is the key without numbers of lists,
    below `task` or `teacher` where a section of such a kind stands deeper down; `kind` is that kind.
    """

    told: str
    known: tuple[str, ...]
    kind: type[Section] | None = None


def _place_of(location: Sequence[str | int]) -> _Place:
    told, known, kind = "", list[str](), None
    holds = ""  # the section that the part before may begin
    for part in location:
        if isinstance(part, int):
            told += f"[number {part + 1}]"
            continue
        found = _kinds_of(holds).get(part) if holds else None
        if found is not None:
            known, kind, holds = [holds], found, ""
            continue
        told += f".{part}" if told else part
        known.append(part)
        holds = _WITH_KINDS.get(part, "")
    return _Place(told, tuple(known), kind)


def _explain(item: Any) -> str:
    place = _place_of(item["loc"])
    if item["type"] in {"union_tag_not_found", "union_tag_invalid"}:
        return _explain_kind(item, place)
    key = place.told or "the file"
    if item["type"] == "extra_forbidden":
        nearest = _nearest_key(place)
        return f"{key}: unknown key." + (f" Did you mean {nearest!r}?" if nearest else "")
    if item["type"] == "missing":
        return f"{key}: needed, and absent. Mend: add it (docs/tutelage.yaml.md says what it is)"
    hidden = item["type"] == "value_error" or not _MAY_HOLD_A_KEY.isdisjoint(place.known)
    return f"{key}: {_said(item)}" + ("" if hidden else f" (given: {_shorten(item['input'])})")


def _said(item: Any) -> str:
    """What pydantic says, in the words of the file."""
    if item["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        return _NO_SECTION
    value, bound = item["input"], item.get("ctx", {}).get("le", item.get("ctx", {}).get("lt"))
    is_share = bound == 1 and isinstance(value, int | float) and 1 < value <= 100
    hint = f"; as a share that is {value / 100:g}" if is_share else ""
    message: str = item["msg"].removeprefix("Value error, ")
    return message + hint


def _explain_kind(item: Any, place: _Place) -> str:
    section = _WITH_KINDS[place.known[-1]]
    if not isinstance(item["input"], dict):
        return f"{place.told}: {_NO_SECTION} (given: {_shorten(item['input'])})"
    kinds = sorted(_kinds_of(section))
    if place.known != (section,):  # an ensemble's part
        kinds.remove("ensemble")
    given = item["input"].get("type")
    near = difflib.get_close_matches(str(given), kinds, n=1, cutoff=0.5)
    what = "Field required" if given is None else f"{given!r} is no kind of {section}"
    hint = f". Did you mean {near[0]!r}?" if near else ""
    return f"{place.told}.type: {what}; one of {', '.join(map(repr, kinds))}{hint}"


def _nearest_key(place: _Place) -> str | None:
    """A key beside it that is spelt much like it; one of its name elsewhere; any beside it, then anywhere."""
    *above, name = place.known
    # Of several keys of one name the first: what most programmes have stands first in the file.
    names = {key.rsplit(".", 1)[-1]: key for key in reversed(known_keys())}
    section = ".".join(above)
    beside = [key.rsplit(".", 1)[-1] for key in known_keys() if key.rpartition(".")[0] == section]
    if place.kind is not None and len(above) == 1:
        beside = list(place.kind.model_fields)
        names = {known: key for known, key in names.items() if known != name}
    for candidates, cutoff in ((beside, 0.8), (list(names), 1.0), (beside, 0.5), (list(names), 0.6)):
        if near := difflib.get_close_matches(name, candidates, n=1, cutoff=cutoff):
            return near[0] if candidates is beside else names[near[0]]
    return None


def _shorten(value: Any) -> str:
    text = "a section" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def known_keys() -> dict[str, str]:
    """Every key of the file in dotted form, with its description. Teachers' keys stand under `teacher`."""
    return dict(_keys_of(ProgrammeConfig, ""))


def _keys_of(section: type[Section], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}", field.description or ""
        for below in sections_below(field):
            yield from _keys_of(below, f"{prefix}{name}.")


def sections_below(field: FieldInfo) -> list[type[Section]]:
    """The sections whose keys are told under a field; none where they are told elsewhere (`AS_TEACHER`)."""
    return [] if field.json_schema_extra == AS_TEACHER else sections_in(field.annotation)


def sections_in(annotation: Any) -> list[type[Section]]:
    """The sections that a field's type may hold."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, Section) else []
    return [section for part in getattr(annotation, "__args__", ()) for section in sections_in(part)]
