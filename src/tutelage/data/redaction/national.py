"""National numbers of persons, each by its form and check digits.

Where a form is digits alone, whose check a tenth of all numbers pass, a word before it has to speak for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tutelage.data.redaction.checksums import iso_7064_mod_11_10, luhn, verhoeff, weighted
from tutelage.data.redaction.entities import Entity, Finding

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12,
         14, 16, 10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip
_CUE = re.compile(
    r"\b(ssn|social security|national id\w*|id(entity)? (card|number|no)|tax (id|number|no)|steuer\w*|"
    r"pesel|bsn|burgerservice\w*|aadhaar|cpf|personnummer|citizen|nir|insee|s[ée]curit[ée] sociale|"
    r"rijksregister\w*|passport|driver'?s? licen[cs]e|licen[cs]e (number|no))\b",
    re.I,
)
_BEFORE = 48  # characters in which the word may stand


@dataclass(frozen=True)
class _Number:
    """One country's: its form, what holds of its characters, and whether the form alone can't be told."""

    country: str
    form: re.Pattern[str]
    holds: Callable[[str], bool]
    needs_cue: bool = False


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.-]){pattern}(?![\w-])", re.I)


def _fiscal_code(code: str) -> bool:
    """Italy's codice fiscale."""
    total = 0
    for position, character in enumerate(code[:15]):
        even = int(character) if character.isdigit() else ord(character) - ord("A")
        total += even if position % 2 else _ODD[character]
    return chr(ord("A") + total % 26) == code[15]


def _cpf(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    first = weighted(digits, range(10, 1, -1), 11)
    second = weighted(digits, range(11, 1, -1), 11)
    return all(
        int(digit) == (0 if rest < 2 else 11 - rest)
        for digit, rest in zip(digits[9:], (first, second), strict=True)
    )


def _pesel(digits: str) -> bool:
    return weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10) == 0 and 1 <= int(digits[2:4]) % 20 <= 12


def _nir(code: str) -> bool:
    body = code[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(code[13:])


def _nie(code: str) -> bool:
    number = code[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI[int(number) % 23] == code[-1]


def _bsn(digits: str) -> bool:
    return digits.strip("0") != "" and weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), 11) == 0


def _belgian(digits: str) -> bool:
    return 97 - int(digits[:9]) % 97 == int(digits[9:]) or 97 - int("2" + digits[:9]) % 97 == int(digits[9:])


def _ahv(digits: str) -> bool:
    return weighted(digits, (1, 3) * 7, 10) == 0


def _finnish(code: str) -> bool:
    return _HETU[int(code[:6] + code[-4:-1]) % 31] == code[-1]


_NINO = r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]"
_NUMBERS = (
    _Number("US", _form(r"(?!000|666|9\d\d)\d{3}[- ](?!00)\d\d[- ](?!0000)\d{4}"), lambda _: True),
    _Number("GB", _form(_NINO), lambda _: True),
    _Number("IT", _form(r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]"), _fiscal_code),
    _Number("ES", _form(r"\d{8}-?[A-Z]"), _nie),
    _Number("ES", _form(r"[XYZ]-?\d{7}-?[A-Z]"), _nie),
    _Number("FR", _form(r"[12] ?\d\d ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d"), _nir),
    _Number("FI", _form(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]"), _finnish),
    _Number("SE", _form(r"(?:\d\d)?\d\d(?:0[1-9]|1[0-2])[0-3]\d[-+]\d{4}"), lambda code: luhn(code[-10:])),
    _Number("CH", _form(r"756\.\d{4}\.\d{4}\.\d\d"), _ahv),
    _Number("BE", _form(r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d"), _belgian),
    _Number("BR", _form(r"\d{3}\.\d{3}\.\d{3}-\d\d"), _cpf),
    _Number("BR", _form(r"\d{11}"), _cpf, needs_cue=True),
    _Number("PL", _form(r"\d{11}"), _pesel, needs_cue=True),
    _Number("DE", _form(r"\d\d ?\d{3} ?\d{3} ?\d{3}"), iso_7064_mod_11_10, needs_cue=True),
    _Number("NL", _form(r"\d{9}"), _bsn, needs_cue=True),
    _Number("IN", _form(r"[2-9]\d{3} ?\d{4} ?\d{4}"), verhoeff, needs_cue=True),
    _Number("US", _form(r"(?!000|666|9\d\d)\d{9}"), lambda _: True, needs_cue=True),
)  # fmt: skip
_SEPARATORS = re.compile(r"[ .\-+]")


def national_numbers(text: str) -> Iterator[Finding]:
    """Those in a text that holds at least one digit."""
    for number in _NUMBERS:
        for found in number.form.finditer(text):
            if number.needs_cue and not _CUE.search(text, max(0, found.start() - _BEFORE), found.start()):
                continue
            if number.holds(_SEPARATORS.sub("", found[0]).upper()):
                yield Finding(Entity.NATIONAL_ID, found.start(), found.end())
