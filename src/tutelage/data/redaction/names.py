"""Names by list: a first name that is known, and what belongs to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from tutelage.data.redaction.entities import Entity, Finding
from tutelage.data.redaction.lists import word_list
from tutelage.errors import MissingExtraError

_TOKEN = re.compile(r"[^\W\d_][\w'’-]*\.?")
_PARTICLES = frozenset(word_list("particles.txt"))
_LONGEST = 4  # words of a name
# Names that are words of English more often, at the beginning of a sentence above all.
_WORDS = frozenset(word_list("words_like_names.txt"))


class NameList:
    """Finds names in texts: a known first name or surname with a capital, and the words of a name around it.

    A word that is an ordinary one as well counts only beside another part of a name.
    """

    def __init__(self, first: Iterable[str], last: Iterable[str] = ()) -> None:
        self._first = frozenset(name for name in first if len(name) > 1)
        self._last = frozenset(name for name in last if len(name) > 2)

    def find(self, text: str) -> Iterator[Finding]:
        """The names in a text."""
        tokens = list(_TOKEN.finditer(text))
        index = 0
        while index < len(tokens):
            end = self._name_from(text, tokens, index)
            if end == index:
                index += 1
                continue
            last = tokens[end - 1]
            yield Finding(Entity.NAME, tokens[index].start(), last.start() + len(_bare(last[0])), sure=False)
            index = end

    def _name_from(self, text: str, tokens: list[re.Match[str]], index: int) -> int:
        """Where a name that begins at `index` ends; `index` where none does."""
        end, known, certain, whole = index, 0, 0, 0
        while end < len(tokens) and end - index < 2 * _LONGEST and whole < _LONGEST:
            token = tokens[end][0]
            if end > index and not _adjoins(text, tokens[end - 1], tokens[end]):
                break
            bare = _bare(token)
            if bare[0].isupper() and (len(bare) > 1 or token.endswith(".") or whole):
                listed = self._knows(bare)
                known += listed
                certain += listed and bare not in _WORDS
                whole += 1
            elif not (end > index and bare in _PARTICLES):
                break
            end += 1
        while end > index and _bare(tokens[end - 1][0]) in _PARTICLES:
            end -= 1
        begins = self._knows(_bare(tokens[index][0])) or (
            end - index > 1 and len(_bare(tokens[index][0])) == 1
        )
        return end if begins and (certain or known > 1) else index

    def _knows(self, word: str) -> bool:
        parts = word.split("-") if "-" in word else [word]
        return any(part in self._first or part in self._last for part in map(_plain, parts))


def _bare(token: str) -> str:
    return token[:-1] if token.endswith(".") else token


def _plain(word: str) -> str:
    """Without a possessive, and as lists have it where it is all in capitals."""
    word = re.sub(r"['’]s$", "", word)
    return word.title() if word.isupper() and len(word) > 2 else word


def _adjoins(text: str, before: re.Match[str], after: re.Match[str]) -> bool:
    """Whether one space alone stands between them; a full stop only where it ends an initial."""
    ended = before[0].endswith(".") and len(before[0]) > 2
    return not ended and text[before.end() : after.start()] == " "


@cache
def listed_names() -> NameList:
    """Names of some seventy countries, as the package `faker` lists them. Raises MissingExtraError."""
    try:
        from faker.providers import person
    except ImportError as error:
        raise MissingExtraError("faker", "names", "finding names by list") from error
    first: set[str] = set()
    last: set[str] = set()
    for found in iter_modules(person.__path__):
        provider = import_module(f"{person.__name__}.{found.name}").Provider
        for attribute, listed in vars(provider).items():
            if isinstance(listed, Iterable) and not isinstance(listed, str):
                if attribute.startswith(("first_names", "first_romanized")):
                    first |= set(listed)
                elif attribute.startswith(("last_names", "last_romanized")):
                    last |= set(listed)
    return NameList(first, last)
