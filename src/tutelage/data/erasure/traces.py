"""What is to be erased, and how it is told in a cell, a row or a file."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

_LONG_KEY = 6  # characters from which a key is looked for within texts; shorter ones stand for much else
_LONG_TEXT = 12  # likewise of a text; a shorter one has to be all of a cell
_AT_ONCE = 50  # of one pattern
_WORD = re.compile(r"\w{4,}")


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
    def patterns(self) -> tuple[str, ...]:
        """Regular expressions, for Python and RE2, that find a trace within a text."""
        texts = [re.escape(text) for text in sorted(self.texts) if len(text) >= _LONG_TEXT]
        keys = [rf"(?:^|[^\w-]){re.escape(key)}(?:$|[^\w-])" for key in sorted(self.long_keys)]
        found = [*keys, *texts]
        return tuple("|".join(found[start : start + _AT_ONCE]) for start in range(0, len(found), _AT_ONCE))

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(map(re.compile, self.patterns))

    def in_text(self, text: str) -> bool:
        """Whether a text is or holds a trace."""
        return text in self.cells or any(pattern.search(text) for pattern in self._compiled)

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
        """Long keys and texts as bytes, in each of the ways in which files write them."""
        found = {
            form.encode("utf-8", "surrogatepass")
            for text in (*self.long_keys, *(text for text in self.texts if len(text) >= _LONG_TEXT))
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
