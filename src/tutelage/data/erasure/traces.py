"""What is to be erased, and how it is told in a cell, a row or a file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

_LONG_KEY = 6  # characters from which a key is looked for within texts; shorter ones stand for much else
_LONG_TEXT = 12  # likewise of a text; a shorter one has to be all of a cell
_AT_ONCE = 50  # of one pattern
_FEW = 200  # texts that patterns look for; more are looked up by how they begin
_WORD = re.compile(r"\w{4,}")
_BEGINNING = re.compile(r"\b\w")


@dataclass(frozen=True)
class Traces:
    """`keys` are subjects as sources, prompts and servers name them; `texts` and `hashes` their prompts'.

    `ids` are ids that nobody else's rows have.
    """

    keys: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    hashes: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.keys or self.texts or self.hashes or self.ids)

    def __or__(self, other: Traces) -> Traces:
        return Traces(
            self.keys | other.keys, self.texts | other.texts, self.hashes | other.hashes, self.ids | other.ids
        )

    @cached_property
    def long_keys(self) -> frozenset[str]:
        """Keys that can be told wherever they stand."""
        return frozenset(key for key in self.keys if len(key) >= _LONG_KEY)

    @cached_property
    def cells(self) -> frozenset[str]:
        """What a cell may be the whole of, in any column. Sheets put an apostrophe before formulas."""
        return self.texts | {f"'{text}" for text in self.texts} | self.hashes | self.long_keys

    @cached_property
    def long_texts(self) -> frozenset[str]:
        """Texts that can be told wherever they stand."""
        return frozenset(text for text in self.texts if len(text) >= _LONG_TEXT)

    @property
    def many(self) -> bool:
        """Whether the texts are too many for patterns."""
        return len(self.long_texts) > _FEW

    @cached_property
    def _by_first_word(self) -> Mapping[str, Sequence[tuple[str, int]]]:
        """Of many texts, what stands at the beginning of the first word: the texts, with where that is."""
        found: dict[str, list[tuple[str, int]]] = {}
        for text in self.long_texts if self.many else ():
            if (first := _BEGINNING.search(text)) is not None:
                found.setdefault(text[first.start() :][:_LONG_TEXT], []).append((text, first.start()))
        return found

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """Regular expressions, for Python and RE2, that find a trace within a text."""
        texts = [] if self.many else [re.escape(text) for text in sorted(self.long_texts)]
        keys = [rf"(?:^|[^\w-]){re.escape(key)}(?:$|[^\w-])" for key in sorted(self.long_keys)]
        found = [*keys, *texts]
        return tuple("|".join(found[start : start + _AT_ONCE]) for start in range(0, len(found), _AT_ONCE))

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(map(re.compile, self.patterns))

    def in_text(self, text: str) -> bool:
        """Whether a text is or holds a trace."""
        if text in self.cells or any(pattern.search(text) for pattern in self._compiled):
            return True
        return self.many and self._begins_in(text)

    def _begins_in(self, text: str) -> bool:
        """Whether any of many texts stands in this one, its first word as a word: in one reading of it."""
        for word in _BEGINNING.finditer(text):
            place = word.start()
            for one, before in self._by_first_word.get(text[place : place + _LONG_TEXT], ()):
                if before <= place and text.startswith(one, place - before):
                    return True
        return False

    def in_value(self, value: Any) -> bool:
        """Whether any text in a JSON value is or holds one."""
        return any(map(self.in_text, _texts_in(value)))

    def in_row(self, row: Mapping[str, Any], whose: Collection[str]) -> bool:
        """Whether a row is theirs, or tells of them. `whose` names the columns that hold subjects."""
        if any(str(row[name]).strip() in self.keys for name in whose if row.get(name) is not None):
            return True
        return str(row.get("id")) in self.ids or self.in_value(list(row.values()))

    @cached_property
    def needles(self) -> tuple[bytes, ...]:
        """Long keys and texts, unless these are many, as bytes in each way in which files write them."""
        found = {
            form.encode("utf-8", "surrogatepass")
            for text in (*self.long_keys, *(() if self.many else self.long_texts))
            for form in (
                *(text, escape(text), escape(text, quote=False)),
                *(json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (True, False)),
                text.replace('"', '""'),
            )
        }
        return tuple(sorted(found))


def _texts_in(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            stack += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            stack += one


def words_of(texts: Iterable[str]) -> set[str]:
    """The words of four letters and more, in lower case."""
    return {word for text in texts for word in _WORD.findall(text.lower())}
