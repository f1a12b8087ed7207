"""Rare names, by what a model's vocabulary lacks: a small model takes them for organisations and places."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_POSSESSIVE = re.compile(r"['’]s?$")
_LONGEST = 4  # words of a name
_NO_PERSON = re.compile(
    r"\b(?:Inc|Ltd|LLC|Corp|Group|Co|GmbH|Bank|Company|University|College|Institute|Association|Systems|Partners|"
    r"Technologies|Services|Street|St|Road|Avenue)\b"
)

Span = tuple[int, int]  # where it begins and ends in the text


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows, each as its training texts had it."""

    words: frozenset[str]

    def rare_name(self, text: str, start: int, end: int) -> Span | None:
        """Of what a model takes for something else than a person, what may be one all the same.

        That is its words with a capital, where one of them is in no vocabulary; None where all are, or what
        stands there is a firm or a street by its last word.
        """
        line = text[start:end].split("\n")[0]
        words = list(_WORD.finditer(line))
        if not words or len(words) > _LONGEST or _NO_PERSON.search(line):
            return None
        capital = [word for word in words if word[0][0].isupper()]
        if not any(self._lacks(word[0]) for word in capital):
            return None
        return start + capital[0].start(), start + capital[-1].start() + len(_bare(capital[-1][0]))

    def whole_name(self, text: str, start: int, end: int) -> Span:
        """A name with the rare word before it and after it, where one space alone parts them."""
        line = text.rfind("\n", 0, start) + 1
        before = list(_WORD.finditer(text, line, max(start - 1, line)))[-1:]
        if before and before[0].end() == start - 1 and text[start - 1] == " " and self._lacks(before[0][0]):
            start = before[0].start()
        after = _WORD.match(text, end + 1) if text[end : end + 1] == " " else None
        if after and self._lacks(after[0]):
            end = after.start() + len(_bare(after[0]))
        return start, end

    def _lacks(self, word: str) -> bool:
        """Whether a word is written as a name and isn't known in any way of writing it."""
        bare = _bare(word)
        if not bare[:1].isupper() or bare.isupper() or len(bare) < 3:
            return False
        return self.words.isdisjoint((bare, bare.lower(), bare.title(), bare.upper()))


def _bare(word: str) -> str:
    return _POSSESSIVE.sub("", word)
