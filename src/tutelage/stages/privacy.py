"""Redaction as a programme has it, and what personal data its sources hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from tutelage.config import PrivacyConfig
from tutelage.data.redaction import (
    Action,
    Entity,
    Finding,
    Presidio,
    Redacted,
    Redactor,
    Vault,
    find,
    listed_names,
)
from tutelage.data.rows import open_rows
from tutelage.errors import UsageError
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress
from tutelage.stages.sources import source_paths

_SHOWN = 3  # examples of each kind
_AROUND = 24  # characters on each side of one


@contextmanager
def redacting(programme: Programme, progress: Progress) -> Iterator[Redactor | None]:
    """The programme's redactor, None where it has no policy; at the end what was found is told and kept.

    Raises UsageError where a key is missing, MissingExtraError where a part isn't installed.
    """
    config = programme.config.privacy
    if config is None:
        yield None
        return
    renames = Action.PSEUDONYM in _policy(config).values()
    vault = Vault(programme.pseudonyms, _key(config)) if config.reversible and renames else None
    redactor = _redactor(programme, config, None if vault is None else vault.remember)
    yield redactor
    if vault is not None:
        vault.save()
    if redactor.counts:
        told = ", ".join(f"{entity} {count:,}" for entity, count in sorted(redactor.counts.items()))
        progress.note(f"personal data: {told}")


def live_redaction(programme: Programme) -> Callable[[str], Redacted] | None:
    """What a server does to an input before its student sees it or it is kept; None without a policy.

    Pseudonyms are the programme's, so that a student meets those it learned; what they stand for isn't kept.
    Raises as `redacting`.
    """
    config = programme.config.privacy
    return None if config is None else _redactor(programme, config, None).redact


def _redactor(
    programme: Programme, config: PrivacyConfig, remember: Callable[[str, str], None] | None
) -> Redactor:
    policy = _policy(config)
    key = _key(config) if Action.PSEUDONYM in policy.values() else b""
    names = policy[Entity.NAME] is not Action.ALLOW
    return Redactor(policy, key, _detectors(programme, config, names=names), remember)


def _detectors(
    programme: Programme, config: PrivacyConfig | None, *, names: bool = True
) -> tuple[Callable[[str], Iterator[Finding]], ...]:
    """Those beside the built-in ones that a policy asks for; without `names` none that finds these alone."""
    found: list[Callable[[str], Iterator[Finding]]] = []
    if config is not None and config.names_by_list and names:
        found.append(listed_names().find)
    if config is not None and config.presidio is not None:
        asked = config.presidio
        folder = programme.folder / asked.model
        model = str(folder) if folder.is_dir() else asked.model
        presidio = Presidio(model, asked.language, asked.names if names else (), asked.least_score)
        presidio.require()
        found.append(presidio.find)
    return tuple(found)


def _policy(config: PrivacyConfig) -> dict[Entity, Action]:
    return {entity: Action(getattr(config, entity)) for entity in Entity}


def reveal(programme: Programme, pseudonym: str) -> str:
    """What a pseudonym stands for; the journal says that it was asked for, and not the answer.

    Raises UsageError where nothing is kept of it or the key is missing, IntegrityError under another key.
    """
    config = programme.config.privacy
    if config is None or not config.reversible:
        raise UsageError(
            "privacy.reversible is not set, so nothing was kept of what pseudonyms stand for. Mend: none; "
            "with it later ones can be turned back"
        )
    value = Vault(programme.pseudonyms, _key(config)).reveal(pseudonym)
    programme.journal.append("revealed", pseudonym=pseudonym)
    return value


def _key(config: PrivacyConfig) -> bytes:
    key = os.environ.get(config.key_env, "").strip().encode()
    if not key:
        raise UsageError(
            f"the environment variable {config.key_env!r} (privacy.key_env) is not set, and pseudonyms "
            f"are made with it. Mend: export {config.key_env}=$(openssl rand -hex 32), and keep it apart "
            "from the programme"
        )
    return key


def privacy_inputs(programme: Programme) -> Mapping[str, str]:
    """What a stage's texts depend on; nothing where there is no policy, so that nothing runs anew for it."""
    config = programme.config.privacy
    return {} if config is None else {"privacy": fingerprint(config)}


@dataclass(frozen=True, slots=True)
class Held:
    """Personal data of a kind in a source: how many stretches in how many rows, and a few with their
    surroundings, themselves masked."""

    entity: Entity
    found: int
    rows: int
    examples: tuple[str, ...]


def personal_data(programme: Programme, *, most: int | None = None) -> tuple[list[Held], int]:
    """What gold and traffic hold, and in how many rows it was looked for. Reads; writes nothing."""
    config = programme.config
    detectors = _detectors(programme, config.privacy)
    found: Counter[Entity] = Counter()
    rows: Counter[Entity] = Counter()
    examples: dict[Entity, list[str]] = {entity: [] for entity in Entity}
    total = 0
    for text in _texts(programme, most):
        total += 1
        findings = find(text, frozenset(Entity), detectors)
        for entity in {item.entity for item in findings}:
            rows[entity] += 1
        for item in findings:
            found[item.entity] += 1
            if len(examples[item.entity]) < _SHOWN:
                examples[item.entity].append(_around(text, item, findings))
    held = [Held(entity, found[entity], rows[entity], tuple(examples[entity])) for entity in Entity]
    return held, total


def _texts(programme: Programme, most: int | None) -> Iterator[str]:
    for section in (programme.config.gold, *programme.config.traffic.every):
        column = section.columns.text
        for path in source_paths(programme, section.path):
            rows = open_rows(path, section.format, {column: "columns.text"}, query=section.query)
            for row in islice(rows, most):
                if isinstance(text := row.cells.get(column), str):
                    yield text


def _around(text: str, finding: Finding, findings: list[Finding]) -> str:
    """An example that shows where it was found and nothing that was found."""
    parts, at = [], max(0, finding.start - _AROUND)
    for item in findings:
        if item.end > at and item.start < finding.end + _AROUND:
            parts += [text[at : max(at, item.start)], f"[{item.entity.upper()}]"]
            at = item.end
    shown = "".join([*parts, text[at : max(at, finding.end + _AROUND)]])
    return " ".join(shown.split())
