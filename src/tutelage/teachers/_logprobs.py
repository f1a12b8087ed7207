"""From token log-probabilities to a distribution over labels."""

from __future__ import annotations

import itertools
import json
import math
import re
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tutelage.records import Distribution

# The most that labels outside the listed alternatives get together at one token. What isn't listed is
# mostly text that is no label at all, so the whole unlisted mass would be far too much.
EPSILON = 1e-3

_END = b"\0"  # stands for the end of a bare answer, or of a number, which no label contains
_NUMBER_END = re.compile(rb"[,}\]\s]")
_IN_NUMBER = re.compile(rb"[0-9.eE+-]")


class Token:
    """One token of an answer: its bytes, and the probabilities of what could have stood there, itself too.

    Of a long answer few tokens' alternatives are ever looked at, so those of a reply are read when asked for.
    """

    __slots__ = ("_given", "_options", "text")

    def __init__(self, text: bytes, options: dict[bytes, float] | None = None, given: Any = None) -> None:
        """With its `options`, or with the item of a reply that they are to be read from."""
        self.text, self._options, self._given = text, options, given

    @property
    def options(self) -> dict[bytes, float]:
        """Probabilities by bytes. Raises one of `ODD` where the reply's item has another form."""
        if self._options is None:
            self._options = _read_options(self._given)
        return self._options


# What comes of a reply whose alternatives have another form.
ODD = (AttributeError, KeyError, TypeError, ValueError)


def read_tokens(content: Any) -> list[Token] | None:
    """`choices[0].logprobs.content` of a chat completion; None where it is absent or not in that form."""
    if not isinstance(content, list) or not content:
        return None
    try:
        tokens = [Token(_text_of(item), given=item) for item in content]
        tokens[0].options  # noqa: B018  # one stands for all
    except ODD:
        return None
    return tokens


def _read_options(item: Any) -> dict[bytes, float]:
    options: dict[bytes, float] = {}
    for option in (*(item.get("top_logprobs") or ()), item):
        given, logprob = option.get("bytes"), float(option["logprob"])
        text = bytes(given) if given is not None else option["token"].encode("utf-8")  # as `_text_of`
        probability = 1.0 if logprob > 0.0 else math.exp(logprob)
        if probability != probability:
            raise ValueError("a log-probability is not a number")
        if probability > options.get(text, -1.0):
            options[text] = probability
    return options


def _text_of(option: Any) -> bytes:
    # A token may be part of a character; then only `bytes` says which.
    given = option.get("bytes")
    return bytes(given) if given is not None else option["token"].encode("utf-8")


def packed(tokens: Sequence[Token], top_k: int) -> bytes:
    """The `top_k` likeliest alternatives of each token, the chosen one first, as `signals.tokens` keeps them.

    Empty where they are too many to keep, or have another form.
    """
    from tutelage.signals.tokens import TokenLogprobs, pack

    try:
        return pack(TokenLogprobs.of([_row(token, top_k) for token in tokens]))
    except ODD:
        return b""


def _row(token: Token, top_k: int) -> list[tuple[bytes, float]]:
    others = [option for option in token.options.items() if option[0] != token.text and option[1] > 0]
    others.sort(key=lambda option: -option[1])
    taken = [(token.text, token.options[token.text]), *others[: top_k - 1]]
    return [(text, math.log(max(probability, sys.float_info.min))) for text, probability in taken]


def label_distribution(
    tokens: Sequence[Token],
    answered: str,
    labels: Sequence[str],
    key: str = "label",
    spell: Callable[[str], str] = json.dumps,
) -> Distribution | None:
    """Probabilities of all labels, float32 [labels], from the tokens of an answer that says `answered`.

    The label stands in the answer's JSON under `key`, as `spell` writes it: a string, or a score's digits;
    or it is the whole answer, bare. Its tokens are walked. At each, the listed alternatives that begin (or
    end) what some label still possible would go on with compete; text that leads to no label is left out, as
    a grammar of the labels would have it. An alternative that leads away from the path taken gives its share
    to the labels it can lead to, evenly, since what would have followed is unknown; one that only cuts the
    same text into other tokens tells nothing and is left out. Labels that no listed alternative leads to
    share the unlisted mass, at most `EPSILON` of a token's. The result sums to 1.

    None where the label can't be found in the tokens, where they end before it is told from one that begins
    like it (some endpoints don't list the token that ends a bare answer), where no alternative is listed for
    a token that tells labels apart, or where no number is usable.
    """
    try:
        return _distribution(tokens, answered, labels, key, spell)
    except ODD:
        return None


def _distribution(
    tokens: Sequence[Token], answered: str, labels: Sequence[str], key: str, spell: Callable[[str], str]
) -> Distribution | None:
    text = b"".join(token.text for token in tokens)
    place = labels.index(answered)
    for written in _spellings(tuple(labels), spell):
        target = written[place]
        found = (match.end() for match in _place_of(key).finditer(text))
        starts = [start for start in found if _stands_at(text, start, target)]
        if not starts:
            continue
        if target.startswith(b'"'):
            return _walk(tokens, starts[-1], written, place)
        # Digits end where something else begins, so that 1 and 10 can be told apart.
        ended = _numbers_ended(tokens, starts[-1])
        return _walk(ended, starts[-1], [label + _END for label in written], place)
    return _bare_distribution(tokens, text, answered, labels)


def _bare_distribution(
    tokens: Sequence[Token], text: bytes, answered: str, labels: Sequence[str]
) -> Distribution | None:
    if text.strip() != answered.encode("utf-8"):
        return None
    ended = [
        _with_end_shown(token) for token in itertools.dropwhile(lambda token: not token.text.strip(), tokens)
    ]
    start = len(ended[0].text) - len(ended[0].text.lstrip())
    return _walk(ended, start, [_bare(label) for label in labels], labels.index(answered))


@lru_cache(maxsize=64)
def _place_of(key: str) -> re.Pattern[bytes]:
    """What stands before a label. Inside another string its quotes would be escaped."""
    written = {json.dumps(key), json.dumps(key, ensure_ascii=False)}
    keys = b"|".join(re.escape(text.encode("utf-8")) for text in sorted(written))
    return re.compile(rb"(?:" + keys + rb")\s*:\s*")


def _stands_at(text: bytes, start: int, target: bytes) -> bool:
    """Whether the whole target stands there, not the beginning of a longer number."""
    if not text.startswith(target, start):
        return False
    return target.startswith(b'"') or not _IN_NUMBER.match(text, start + len(target))


@lru_cache(maxsize=8)
def _spellings(labels: tuple[str, ...], spell: Callable[[str], str]) -> tuple[list[bytes], list[bytes]]:
    """The labels in JSON as UTF-8, and with all but ASCII escaped."""
    plain = [json.loads(spell(label)) for label in labels]
    return (
        [json.dumps(label, ensure_ascii=False).encode("utf-8") for label in plain],
        [json.dumps(label).encode("ascii") for label in plain],
    )


def _numbers_ended(tokens: Sequence[Token], start: int) -> list[Token]:
    """The tokens, in which what ends a number from `start` on is `_END`."""
    ended, offset = [], 0
    for token in tokens:
        begin, offset = offset, offset + len(token.text)
        if offset <= start:
            ended.append(token)
            continue
        lead = token.text[: max(start - begin, 0)]
        options: dict[bytes, float] = {}
        for text, probability in token.options.items():
            shown = _end_number(text, lead)
            options[shown] = options.get(shown, 0.0) + probability
        ended.append(Token(_end_number(token.text, lead), options))
    return ended


def _end_number(text: bytes, lead: bytes) -> bytes:
    if not text.startswith(lead):
        return text
    end = _NUMBER_END.search(text, len(lead))
    return text if end is None else text[: end.start()] + _END


def _bare(label: str) -> bytes:
    return label.encode("utf-8") + _END


def _with_end_shown(token: Token) -> Token:
    """A token of a bare answer, in which a stop token (empty) or a line break means the label's end."""
    options: dict[bytes, float] = {}
    for text, probability in token.options.items():
        shown = _show_end(text)
        options[shown] = options.get(shown, 0.0) + probability
    return Token(_show_end(token.text), options)


def _show_end(text: bytes) -> bytes:
    body = text.rstrip(b"\r\n")
    return body + _END if not text or len(body) < len(text) else text


def _walk(
    tokens: Sequence[Token], start: int, targets: Sequence[bytes], answered: int
) -> Distribution | None:
    masses = np.zeros(len(targets))
    alive = sorted(range(len(targets)), key=targets.__getitem__)
    share, done, offset = 1.0, 0, 0
    for token in tokens:
        begin, offset = offset, offset + len(token.text)
        if offset <= start:
            continue
        lead = token.text[: max(start - begin, 0)]  # what of the token stands before the label
        kept = _step(token, _Ahead(targets, alive, lead, done), answered, share, masses)
        if kept is None:
            return None
        share, path = kept
        alive = [label for label in alive if label in path]
        done += len(token.text) - len(lead)
        if len(alive) == 1:
            break
    else:
        return None  # nothing shows whether the answer would have gone on to be one of the others
    masses[answered] += share
    total = masses.sum()
    return (masses / total).astype(np.float32) if np.isfinite(total) and total > 0 else None


def _step(
    token: Token, ahead: _Ahead, answered: int, share: float, masses: Any
) -> tuple[float, frozenset[int]] | None:
    """Give away, into `masses`, what leads elsewhere at this token; return what stays and who stays."""
    path = ahead.leads_to(token.text)
    if answered not in path or (path != ahead.everyone and _stands_alone(token)):
        return None
    stay, leave = 0.0, dict[frozenset[int], float]()
    for option, probability in token.options.items():
        labels = ahead.leads_to(option)
        if labels is path or labels == path:
            stay += probability
        elif labels and not labels > path:
            leave[labels] = leave.get(labels, 0.0) + probability
    listed = stay + sum(leave.values())
    if not listed > 0:
        return None
    if path is ahead.everyone and not leave:  # as in what all labels have in common
        return share, path
    unseen = ahead.everyone - path.union(*leave)
    tail = max(1.0 - sum(token.options.values()), 0.0)
    spare = min(EPSILON, tail / (listed + tail)) if unseen else 0.0
    for labels, probability in leave.items():
        masses[list(labels)] += share * (1 - spare) * probability / listed / len(labels)
    if unseen:
        masses[list(unseen)] += share * spare / len(unseen)
    return share * (1 - spare) * stay / listed, path


def _stands_alone(token: Token) -> bool:
    """Whether something else could have stood there and isn't listed; some endpoints never list anything."""
    return len(token.options) == 1 and next(iter(token.options.values())) < 1.0 - EPSILON


_NOBODY: frozenset[int] = frozenset()


class _Ahead:
    """What each label still possible would go on with, from `done` bytes into its target on, after `lead`.

    `alive` are the labels in the order of their targets, which is that of what they go on with: they have the
    bytes that are done in common, but for one that has ended, and that one comes first either way.
    """

    def __init__(self, targets: Sequence[bytes], alive: Sequence[int], lead: bytes, done: int) -> None:
        self._targets, self._alive, self._lead, self._done = targets, alive, lead, done
        self.everyone = frozenset(alive)
        first, last = self._text(alive[0]), self._text(alive[-1])
        shorter = min(len(first), len(last))
        same = next((place for place in range(shorter) if first[place] != last[place]), shorter)
        self._shared = first[:same]  # of the first and the last in order, and so of all
        self._texts: list[bytes] | None = None

    def _text(self, label: int) -> bytes:
        return self._lead + self._targets[label][self._done :]

    def leads_to(self, option: bytes) -> frozenset[int]:
        """The labels that a token's bytes begin, or begin with what is left of."""
        if not option:
            return _NOBODY
        if self._shared.startswith(option):
            return self.everyone
        if not option.startswith(self._shared):
            return _NOBODY
        if self._texts is None:
            self._texts = [self._text(label) for label in self._alive]
        texts = self._texts
        low = bisect_left(texts, option)
        high = bisect_left(texts, option + b"\xff", low)  # which no text in UTF-8 has
        found = self._alive[low:high]
        for size in range(len(self._shared), len(option)):
            place = bisect_left(texts, option[:size])
            if place < len(texts) and texts[place] == option[:size]:
                found = [self._alive[place], *found]
        return frozenset(found)
