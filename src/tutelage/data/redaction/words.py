"""Personal data in words: electronic and postal addresses, names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tutelage.data.redaction.entities import Entity, Finding
from tutelage.data.redaction.lists import word_list

_EMAIL = re.compile(
    r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,23}", re.UNICODE
)
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"'()\[\]{}]{3,2000}", re.I)
_CAPITAL = r"[^\W\d_a-zß-öø-ÿ]"  # a letter, and none of the small ones
_WORD = rf"{_CAPITAL}[\w'’.-]*"
_STREET = (
    r"(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|square|sq|highway|hwy|parkway|pkwy|"
    r"terrace|place|pl|way|close|crescent|circle|trail|alley|hill|heights|gardens|grove|mews|row)"
)
_COMPOUNDS = (
    "straße|strasse|str\\.|gasse|platz|weg|allee|straat|laan|plein|gatan|vägen|gade|vej|gata|veien|katu|tie|kuja|"
    "tänav|utca|ulica|utja"
)
_WAYS = (
    "Rua|Rue|Via|Viale|Piazza|Calle|C/|Avenida|Av\\.|Avenue|Plaza|Paseo|Corso|Largo|Travessa|"
    "ul\\.|ulica|Ulica|Str\\."
)
_FLAT = r"(?i:apt|apartment|suite|ste|unit|flat|room)\.? ?#?\w{1,6}"
_ADDRESSES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<!\w)\d{{1,5}}[a-zA-Z]?,? (?:{_WORD} ){{1,4}}(?i:{_STREET})\b\.?(?:,? {_FLAT})?",
        r"(?<!\w)(?i:apt|apartment|suite|ste|unit|flat)\.? #?\d{1,5}\w?\b",
        r"(?<!\w)(?i:p\.? ?o\.? ?box|psc|box) \d{1,6}\b",
        rf"(?<!\w){_CAPITAL}[\w'’.-]*(?:{_COMPOUNDS})\s+\d{{1,5}}\s?[a-zA-Z]?\b",
        rf"(?<!\w)(?:{_WAYS}) (?:(?:de|du|des|del|della|do|da|dos|la|le|les|los|el) )?"
        rf"(?:{_WORD},? ?){{1,4}}(?:n[º°o]\.? ?)?\d{{1,5}}\b",
        r"(?<!\w)\d{1,5},? (?:bis |ter )?(?:rue|avenue|boulevard|place|chemin|quai|impasse) "
        rf"(?:(?:de|du|des|la|le|les|l'|d') ?)*(?:{_WORD} ?){{1,4}}",
    )
)
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Madam|Herr|Frau|Monsieur|Madame|Mme|Señora?|Sra?|Signora?|Sig)\.?"
_PARTICLE = r"(?:van|von|de|der|den|del|della|di|da|dos|du|la|le|el|al|bin|ibn|ter|ten|zu)"
_NAME = rf"{_CAPITAL}[\w'’-]+"
_FULL_NAME = rf"{_NAME}(?:[ ](?:{_CAPITAL}\.|{_PARTICLE}|{_NAME})){{0,3}}"
_TITLED = re.compile(rf"(?<!\w){_TITLE} ({_FULL_NAME})")
_INTRODUCED = re.compile(
    rf"(?i:\b(?:(?:first|last|full|maiden|my|his|her|their) name is|my name's|calls? (?:me|him|her)|"
    rf"i am called|this is|i'm|i am|name:|named|called|regards,|sincerely,|cheers,|thanks,|dear|hi|hello|hey|"
    rf"ich hei(?:ß|ss)e|mein name ist|je m'appelle|me llamo|mi chiamo))\s+({_FULL_NAME})"
)
# As people write who use no capitals; nothing else follows so surely.
_SMALL = re.compile(r"\b(?i:my name is|my name's) ([^\W\d_A-ZÀ-ÖØ-Þ][\w'’-]+)")
_NO_SMALL_NAME = frozenset(word_list("after_my_name_is.txt"))
# Words with a capital that follow such cues and are nobody's name.
_NOBODY = frozenset(word_list("nobodys_names.txt"))


def emails(text: str) -> Iterator[Finding]:
    """Addresses of electronic mail (RFC 5322 without quoting, RFC 6531's letters)."""
    for found in _EMAIL.finditer(text):
        yield Finding(Entity.EMAIL, found.start(), found.end())


def urls(text: str) -> Iterator[Finding]:
    """Addresses of pages."""
    for found in _URL.finditer(text):
        yield Finding(Entity.URL, found.start(), found.start() + len(found[0].rstrip(".,;:!?")))


def addresses(text: str) -> Iterator[Finding]:
    """Streets with numbers, in the ways of some countries; flats and boxes."""
    for pattern in _ADDRESSES:
        for found in pattern.finditer(text):
            yield Finding(Entity.ADDRESS, found.start(), found.end(), sure=False)


def cued_names(text: str) -> Iterator[Finding]:
    """Names after a title, a greeting or an introduction."""
    for pattern in (_TITLED, _INTRODUCED):
        for found in pattern.finditer(text):
            name = found[1].split()[0]
            if (
                name[0].isupper()
                and not name.isupper()
                and name.rstrip(".") not in _NOBODY
                and name[:2] not in ("I'", "I’")
            ):
                yield Finding(Entity.NAME, found.start(1), found.end(1), sure=False)
    for found in _SMALL.finditer(text):
        if found[1] not in _NO_SMALL_NAME:
            yield Finding(Entity.NAME, found.start(1), found.end(1), sure=False)
