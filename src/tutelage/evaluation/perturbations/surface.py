"""Changes of how a text is written: case, typing errors, spaces and marks, length."""

from __future__ import annotations

import re

from tutelage.evaluation.perturbations.kinds import Occasion

_NEIGHBOURS = {
    "q": "wa", "w": "qes", "e": "wrd", "r": "etf", "t": "ryg", "y": "tuh", "u": "yij", "i": "uok", "o": "ipl",
    "p": "ol", "a": "qsz", "s": "awdx", "d": "sefc", "f": "drgv", "g": "fthb", "h": "gyjn", "j": "hukm",
    "k": "jil", "l": "kop", "z": "asx", "x": "zsc", "c": "xdv", "v": "cfb", "b": "vgn", "n": "bhm",
    "m": "njk",
}  # fmt: skip
_TYPED = re.compile(r"[A-Za-z]{3,}")  # shorter words hardly survive an error
_LEAST_WORDS = 6  # of a text that is cut
_CUT = 0.25  # share of the words


def lower_case(occasion: Occasion) -> str:
    """All small letters."""
    return occasion.text.lower()


def upper_case(occasion: Occasion) -> str:
    """All capitals."""
    return occasion.text.upper()


def typos(occasion: Occasion) -> str | None:
    """Neighbouring keys, swapped, dropped and doubled letters, at `typo_rate` of them and at least one.

    A word's first letter stays, as it mostly does in what people type; words of one or two letters too.
    """
    text, random = occasion.text, occasion.random
    spans = [range(word.start() + 1, word.end()) for word in _TYPED.finditer(text)]
    places = [place for span in spans for place in span]
    swapped = {place for span in spans for place in span[1:]}  # with the letter before
    if not places:
        return None
    count = min(len(places), max(1, round(occasion.typo_rate * len(places))))
    letters = list(text)
    for place in random.sample(places, count):
        letter = text[place]
        match random.randrange(4):
            case 0:
                typed = random.choice(_NEIGHBOURS[letter.lower()])
                letters[place] = typed.upper() if letter.isupper() else typed
            case 1 if place in swapped:
                letters[place - 1], letters[place] = letters[place], letters[place - 1]
            case 2:
                letters[place] = ""
            case _:
                letters[place] = letter * 2
    return "".join(letters)


def whitespace(occasion: Occasion) -> str | None:
    """Doubled spaces, tabs and line breaks between words, and space around the text."""
    words, random = occasion.text.split(), occasion.random
    if len(words) < 2:
        return f"  {occasion.text}\n"
    gaps = [random.choice((" ", "  ", "   ", "\t", "\n", "\u00a0")) for _ in words[1:]]
    gaps[random.randrange(len(gaps))] = "  "
    return " " + "".join(word + gap for word, gap in zip(words, [*gaps, "\n"], strict=True))


def punctuation(occasion: Occasion) -> str | None:
    """Marks dropped where there are any, else doubled ones put at the end."""
    bare = re.sub(r"(?<!\d)[.,;:!?]+(?!\d)", "", occasion.text)
    return (
        bare
        if bare != occasion.text
        else occasion.text.rstrip() + occasion.random.choice(("!!", "...", "??"))
    )


def truncation(occasion: Occasion) -> str | None:
    """The last quarter of the words gone, from six words up."""
    words = occasion.text.split()
    if len(words) < _LEAST_WORDS:
        return None
    kept = len(words) - max(1, round(_CUT * len(words)))
    return " ".join(words[:kept])
