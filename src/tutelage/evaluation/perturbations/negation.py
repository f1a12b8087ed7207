"""Negation: what is said turned into its opposite, by rule, where a rule makes an English sentence of it.

A negation that is there is taken away. Else the first statement, instruction or question why is negated.
Questions that ask for yes or no aren't: `Can I not order a card?` asks for the same as without the word.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tutelage.evaluation.perturbations.kinds import Occasion, Pair, cased_like, words_pattern

_UNDONE = {
    "can't": "can", "can’t": "can", "cannot": "can", "don't": "do", "don’t": "do", "do not": "do",
    "doesn't": "does", "doesn’t": "does", "didn't": "did", "didn’t": "did", "isn't": "is", "isn’t": "is",
    "is not": "is", "aren't": "are", "aren’t": "are", "wasn't": "was", "wasn’t": "was", "was not": "was",
    "won't": "will", "won’t": "will", "haven't": "have", "haven’t": "have", "hasn't": "has", "hasn’t": "has",
    "couldn't": "could", "couldn’t": "could", "not": "", "never": "", "no longer": "still",
}  # fmt: skip
_UNDOES = words_pattern(list(_UNDONE))
# `or not?`, `not sure what`, `news but not sport`, `not yet`: without the word they say no opposite.
_NO_UNDOING = re.compile(r"\s*(?:[^\w\s]|$)|\s+(?:sure|only|just|mind|even)\b", re.I)
_HANGS_ON_IT = re.compile(r"[^.!?]*\b(?:yet|any ?more|either|until|at all)\b", re.I)
_NO_UNDOING_AFTER = re.compile(r"(?:\b(?:but|and|or|why)|,)\s*$", re.I)

_PRONOUN = r"(?:i|you|he|she|it|we|they|there|this|that)"
_SMALL = r"(?:i|you|he|she|it|we|they|there|that|which|who|where|when|why|how|if|and|or|but|to|so)"
_NOUNS = rf"(?:my|the|this|that|your|our|their|his|her)(?:\s+(?!{_SMALL}\b)[\w'’-]+){{1,3}}?"
_START = r"(?:^|(?<=[.!?,;:]\s)|(?<=\band\s)|(?<=\bbut\s)|(?<=\bso\s))\s*"
_SUBJECT = rf"{_START}(?:{_PRONOUN}|{_NOUNS})"
_AUXILIARY = r"(?:can|could|will|would|should|must|is|are|was|were|am|did)"
_PERFECT = r"(?:been|had|got|gone|done|made|sent|paid|lost|put|set|seen|tried|taken|given|bought|\w+ed)"
_ADVERB = r"(?:\s+(?P<adverb>just|already|also|only|still))?(?=\s+(?!some\b)\w)"
_PRESENT = r"(?:want|need|like|know|see|think|believe|have|recognise|recognize|remember|wish|use|live|work)"
_PAST = (
    r"(?:got|received|ordered|made|paid|sent|bought|lost|tried|used|found|saw|asked|went|withdrew|"
    r"transferred|topped)"
)
_ORDER = (
    r"(?:set|turn|play|tell|show|remind|give|find|remove|add|delete|send|call|open|close|stop|start|make|put|"
    r"get|check|let|cancel|order|book|refund|block|activate|change|read|email|schedule|create|increase|"
    r"decrease|lower|raise|mute|switch|dim|list|search|look|take|toggle|tweet|post|buy|wake|explain|describe|"
    r"write|see)"
)
_WHY = r"(?:can|could|will|would|should|is|are|was|were|do|does|did|has|have)"
_CONTRACTED = {"can": "can't", "will": "won't"}


_BARE = {"has": "have", "needs": "need", "wants": "want"}


def _not_after(found: re.Match[str]) -> str:
    told = found["adverb"]
    return f"{found['head']} {'no longer' if told and told.lower() == 'still' else 'not'}"


def _not(found: re.Match[str]) -> str:
    return f"{found['head']} not"


def _would_not(found: re.Match[str]) -> str:
    return f"{found['head']} would not"


def _do_not(found: re.Match[str]) -> str:
    return f"{found['head']} don't {found['verb']}"


def _does_not(found: re.Match[str]) -> str:
    return f"{found['head']} doesn't {_BARE[found['verb'].lower()]}"


def _never(found: re.Match[str]) -> str:
    return f"{found['head']} never {found['verb']}"


def _forbidden(found: re.Match[str]) -> str:
    verb = found["verb"]
    return f"{found['head']}{cased_like('do not', verb)} {verb.lower()}"


def _contracted(found: re.Match[str]) -> str:
    word = found["verb"].lower()
    return found["head"] + cased_like(_CONTRACTED.get(word, f"{word}n't"), found["verb"])


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern, re.I), negated)
    for pattern, negated in (
        (rf"(?P<head>{_SUBJECT}\s+{_AUXILIARY}){_ADVERB}", _not_after),
        (rf"(?P<head>{_START}(?:i|you|he|she|it|we|they|there|that)['’](?:m|re|s|ve)){_ADVERB}", _not_after),
        (rf"(?P<head>{_SUBJECT}\s+(?:have|has|had)){_ADVERB}(?=\s+{_PERFECT}\b)", _not_after),
        (rf"(?P<head>{_START}i)['’]d(?=\s+like\b)", _would_not),
        (rf"(?P<head>{_START}(?:i|we|you|they))\s+(?P<verb>{_PRESENT})\b", _do_not),
        (rf"(?P<head>{_SUBJECT})\s+(?P<verb>has|needs|wants)\b", _does_not),
        (rf"(?P<head>{_START}(?:i|we|you|they|he|she))\s+(?P<verb>{_PAST})\b(?!\s+some\b)", _never),
        (rf"^(?P<head>\s*(?:please\s+)?)(?P<verb>{_ORDER})\b(?=\s+(?!please\b)\w)", _forbidden),
        (rf"(?P<head>{_START}(?:how come|why)\s+)(?P<verb>{_WHY})(?=\s+\w)", _contracted),
        (
            rf"(?P<head>{_START}(?:how|where|when)\s+(?:can|could|do|should|will|would)\s+(?:i|you|we|they)\b)"
            r"(?!\s+best)(?=\s+\w)",
            _not,
        ),
    )
)


def negation(occasion: Occasion) -> Pair | None:
    """The first negation taken away; where there is none, the first statement, order or question why negated.

    None where no rule fits. What the text then means may be another matter than the task asks about.
    """
    text = occasion.text
    for found in _UNDOES.finditer(text):
        if not _is_needed(text, found):
            return Pair(text, _undone(text, found))
    if _UNDOES.search(text):
        return None  # negating once more would turn nothing
    for pattern, made in _RULES:
        if said := pattern.search(text):
            return Pair(text, text[: said.start()] + made(said) + text[said.end() :])
    return None


def _is_needed(text: str, found: re.Match[str]) -> bool:
    if _HANGS_ON_IT.match(text, found.end()):
        return True
    alone = not _UNDONE[found[0].lower()]
    before, end = text[: found.start()], found.end()
    return alone and bool(_NO_UNDOING.match(text, end) or _NO_UNDOING_AFTER.search(before))


def _undone(text: str, found: re.Match[str]) -> str:
    said, rest = _UNDONE[found[0].lower()], text[found.end() :]
    return text[: found.start()] + cased_like(said, found[0]) + (rest if said else rest.lstrip())
