"""Reading `tutelage.yaml`: overrides laid over it, and faults said so that they can be mended."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tutelage.config.schema import ProgrammeConfig
from tutelage.config.section import Section
from tutelage.errors import ConfigError


def load_config(path: Path, overrides: Sequence[str] = ()) -> ProgrammeConfig:
    """Read `tutelage.yaml`, with `key.key=value` overrides laid over it.

    Raises ConfigError naming the file, every key at fault, and for an unknown key the nearest known one.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} doesn't exist. Mend: run `tutelage init`, or name the programme's folder"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}). Mend: save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} holds {type(content).__name__}, not sections. Mend: see docs/tutelage.yaml.md"
        )
    for override in overrides:
        _lay_over(content, override)
    return parse_config(content, str(path))


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


def _explain(item: Any) -> str:
    tags = {"encoder", "transformers", "openai", "plugin"}
    location = [str(part) for part in item["loc"]]
    tag = location[1] if len(location) > 1 and location[0] == "teacher" else None
    if item["type"] == "union_tag_not_found":
        return f"teacher.type: Field required; one of {', '.join(map(repr, sorted(tags)))}"
    if len(location) > 1 and location[0] == "teacher" and location[1] in tags:
        del location[1]
    key = ".".join(location) or "the file"
    if item["type"] == "extra_forbidden":
        nearest = _nearest_key(location, tag)
        return f"{key}: unknown key." + (f" Did you mean {nearest!r}?" if nearest else "")
    given = "" if item["type"] in {"missing", "value_error"} else f" (given: {_shorten(item['input'])})"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}{given}"


def _nearest_key(location: Sequence[str], tag: str | None = None) -> str | None:
    """Among the keys beside it first, then anywhere in the file."""
    names = {key.rsplit(".", 1)[-1]: key for key in known_keys()}
    section = ".".join(location[:-1])
    beside = [key.rsplit(".", 1)[-1] for key in known_keys() if key.rpartition(".")[0] == section]
    if section == "teacher":
        kinds = sections_in(ProgrammeConfig.model_fields["teacher"].annotation)
        [kind] = [kind for kind in kinds if kind.model_fields["type"].default == tag]
        beside = list(kind.model_fields)
        names = {name: key for name, key in names.items() if name != location[-1]}
    for candidates, cutoff in ((beside, 0.5), (list(names), 0.6)):
        if near := difflib.get_close_matches(location[-1], candidates, n=1, cutoff=cutoff):
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
        for below in sections_in(field.annotation):
            yield from _keys_of(below, f"{prefix}{name}.")


def sections_in(annotation: Any) -> list[type[Section]]:
    """The sections that a field's type may hold."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, Section) else []
    return [section for part in getattr(annotation, "__args__", ()) for section in sections_in(part)]
