"""Numbers that lead to a person: cards, bank accounts, telephones, addresses of computers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from tutelage.data.redaction.checksums import luhn, mod_97
from tutelage.data.redaction.entities import Entity, Finding

_RUN = re.compile(r"(?<![\w.-])\d+(?:[ -]\d+)*(?![\w-])")
_CARD_LENGTHS = range(12, 20)
_ISSUERS = re.compile(r"[3-6]|2[2-7]|1800|2131|2014|2149")
# Lengths of IBANs by country (SWIFT's registry, release 99).
_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21,
    "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
    "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
    "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25,
    "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
_IBAN = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})\d{2}(?=[ -]?[A-Za-z0-9])")
_IP = re.compile(
    r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w:-]|\.\d)", re.I
)
_PHONE = re.compile(
    r"(?<![\w@#$€£./-])(?:\+|\(\+)?\(?\d(?:[ \t.()/–-]{0,3}\d){6,16}"
    r"(?:[ ]?(?:x|ext\.?|#)[ ]?\d{1,6})?(?!\w|-\d|[.,]\d)",
    re.I,
)
_PHONE_CUE = re.compile(
    r"\b(phone|telephone|tel|call(ed|ing)?|mobile|cell|fax|text(ed)?|whats ?app|sms|reach(ed)?|dial|ring|"
    r"contact|handy|telefon\w*|t[ée]l[ée]phone|m[óo]vil|number is|numbers?)\b",
    re.I,
)
_BEFORE = 40
_DATE = re.compile(r"(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d\d\b")
_YEARS = re.compile(r"(?:1[5-9]|20)\d\d ?[-–/] ?(?:1[5-9]|20)\d\d")
_AMOUNT = re.compile(r"[1-9]\d{0,2}(?:([ .])\d{3})(?:\1\d{3})*")
_MONEY = re.compile(
    r"\s?(?:[$€£¥₹]|usd|eur|gbp|chf|euros?|dollars?|pounds?|francs?|people|users|units|%)", re.I
)
_GROUPS = re.compile(r"\d+")
_LONGEST_PHONE = 15  # digits, ITU-T E.164


def cards(text: str) -> Iterator[Finding]:
    """Payment cards: 12 to 19 digits of a known issuer whose check digit holds."""
    for run in _RUN.finditer(text):
        if run.end() - run.start() >= _CARD_LENGTHS.start:
            yield from _cards_in(list(_GROUPS.finditer(text, run.start(), run.end())))


def _cards_in(groups: list[re.Match[str]]) -> Iterator[Finding]:
    """Of groups of digits that follow each other: a card may stand beside another number."""
    first = 0
    while first < len(groups):
        digits, last = "", first
        while last < len(groups) and len(digits) < _CARD_LENGTHS.stop:
            digits += groups[last][0]
            last += 1
            if len(digits) in _CARD_LENGTHS and _ISSUERS.match(digits) and luhn(digits):
                yield Finding(Entity.CARD, groups[first].start(), groups[last - 1].end())
                first = last - 1
                break
        first += 1


def ibans(text: str) -> Iterator[Finding]:
    """Bank accounts: as long as their country has them, and whose check digits hold."""
    for found in _IBAN.finditer(text):
        length = _LENGTHS.get(found[1].upper())
        if length is None:
            continue
        end, code = found.start(), ""
        while len(code) < length and end < len(text) and (text[end].isalnum() or text[end] in " -"):
            if text[end] not in " -":
                code += text[end]
            end += 1
        whole = len(code) == length and code.isascii() and not text[end : end + 1].isalnum()
        if whole and mod_97(code.upper()):
            yield Finding(Entity.IBAN, found.start(), end)


def ip_addresses(text: str) -> Iterator[Finding]:
    """IPv4 and IPv6."""
    for found in _IP.finditer(text):
        if found[0].count(":") == 2 and "::" not in found[0]:
            continue  # a time of day
        try:
            ip_address(found[0])
        except ValueError:
            continue
        if found[0] not in ("::", "0.0.0.0"):  # noqa: S104 - no address of anybody
            yield Finding(Entity.IP, found.start(), found.end())


def phones(text: str) -> Iterator[Finding]:
    """Telephone numbers as people write them, in any country's way.

    There is no check digit, so that forms of other numbers are left out: dates, years, amounts. Seven or
    eight digits without a break count only after a word that speaks for it.
    """
    for found in _PHONE.finditer(text):
        written = found[0]
        digits = "".join(_GROUPS.findall(re.split(r"x|ext|#", written, flags=re.I)[0]))
        if not 7 <= len(digits) <= _LONGEST_PHONE or len(set(digits)) == 1:
            continue
        cued = bool(_PHONE_CUE.search(text, max(0, found.start() - _BEFORE), found.start()))
        if _AMOUNT.fullmatch(written) and (digits.endswith("000") or _MONEY.match(text, found.end())):
            continue
        if _DATE.fullmatch(written) or _YEARS.fullmatch(written):
            continue
        if written.lstrip("(").startswith("+") or cued or _looks_dialled(written, digits):
            yield Finding(Entity.PHONE, found.start(), found.end(), sure=False)


def _looks_dialled(written: str, digits: str) -> bool:
    if _AMOUNT.fullmatch(written) and "." in written and len(digits) < 9:
        return False
    groups = _GROUPS.findall(written)
    if len(groups) == 1:
        return len(digits) >= 9 and not (len(digits) >= 13 and not digits.startswith("00"))
    if len(groups) == 2 and (len(groups[0]), len(groups[1])) == (5, 4):
        return False  # a long postal code of the United States
    return not (written.count(".") == 1 and len(groups) == 2) and len(groups) <= 7
