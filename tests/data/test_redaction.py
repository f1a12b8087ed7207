from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.data.redaction import Action, Entity, Finding, NameList, Redactor, find
from tutelage.data.redaction.checksums import iso_7064_mod_11_10, luhn, mod_97, verhoeff
from tutelage.errors import UsageError

EVERYTHING = frozenset(Entity)
KEY = b"a long random word, kept apart"


def _found(text: str, entity: Entity) -> list[str]:
    return [text[item.start : item.end] for item in find(text, EVERYTHING) if item.entity is entity]


@pytest.mark.parametrize(
    ("text", "entity", "value"),
    [
        ("write to Jane.Doe+x@mail.example.co.uk, please", Entity.EMAIL, "Jane.Doe+x@mail.example.co.uk"),
        ("mail müller@bücher.example now", Entity.EMAIL, "müller@bücher.example"),
        ("my card 4111 1111 1111 1111 was charged", Entity.CARD, "4111 1111 1111 1111"),
        ("card 4111-1111-1111-1111.", Entity.CARD, "4111-1111-1111-1111"),
        ("pay to DE89 3704 0044 0532 0130 00 today", Entity.IBAN, "DE89 3704 0044 0532 0130 00"),
        ("iban gb29nwbk60161331926819", Entity.IBAN, "gb29nwbk60161331926819"),
        ("ssn 123-45-6789", Entity.NATIONAL_ID, "123-45-6789"),
        ("NINO QQ 12 34 56 C? no: AB 12 34 56 C", Entity.NATIONAL_ID, "AB 12 34 56 C"),
        ("codice RSSMRA85T10A562S", Entity.NATIONAL_ID, "RSSMRA85T10A562S"),
        ("DNI 12345678Z", Entity.NATIONAL_ID, "12345678Z"),
        ("NIE X1234567L", Entity.NATIONAL_ID, "X1234567L"),
        ("HETU 131052-308T", Entity.NATIONAL_ID, "131052-308T"),
        ("CPF 529.982.247-25", Entity.NATIONAL_ID, "529.982.247-25"),
        ("my PESEL is 44051401359", Entity.NATIONAL_ID, "44051401359"),
        ("Steuer-ID 86095742719", Entity.NATIONAL_ID, "86095742719"),
        ("BSN: 111222333", Entity.NATIONAL_ID, "111222333"),
        ("AHV 756.9217.0769.85", Entity.NATIONAL_ID, "756.9217.0769.85"),
        ("from 192.168.10.7 again", Entity.IP, "192.168.10.7"),
        ("host 2001:db8::ff00:42:8329 is down", Entity.IP, "2001:db8::ff00:42:8329"),
        ("call +1-984-182-0190 now", Entity.PHONE, "+1-984-182-0190"),
        ("ring me on 5551234", Entity.PHONE, "5551234"),
        ("Tel. (0)30 / 123 45 67", Entity.PHONE, "(0)30 / 123 45 67"),
        ("it's 12 Baker Street, Apt. 4", Entity.ADDRESS, "12 Baker Street, Apt. 4"),
        ("wohne Hauptstraße 17b in Bonn", Entity.ADDRESS, "Hauptstraße 17b"),
        ("My name is Zyta Kowalczyk-Nowak.", Entity.NAME, "Zyta Kowalczyk-Nowak"),
        ("Dear Mrs. O'Brien, hello", Entity.NAME, "O'Brien"),
        ("see https://shop.example/orders?id=1.", Entity.URL, "https://shop.example/orders?id=1"),
    ],
)  # fmt: skip
def test_it_is_found_whole(text, entity, value):
    assert _found(text, entity) == [value]


@pytest.mark.parametrize(
    "text",
    [
        "on 2024-05-17 at 10:15:30",
        "from 1939-1945 and 2001-2010",
        "it cost 1.234.567 or 1,234,567.89",
        "we have 12 345 678 users and 100 000 000 more",
        "order 4111 1111 1111 1112 isn't a card",
        "code DE89370400440532013001 is no account",
        "zip 12345-6789",
        "version 1.2.3.4.5 or 300.1.1.1",
        "I'm waiting, I AM WAITING FOR MY CARD",
        "Hi Team, thanks. Hello There",
        "ticket #4711-2233-99",
    ],
)
def test_what_is_nobodys_stays(text):
    assert [(str(item.entity), text[item.start : item.end]) for item in find(text, EVERYTHING)] == []


def test_checksums_agree_with_published_examples():
    assert luhn("79927398713") and not luhn("79927398710")
    assert mod_97("GB82WEST12345698765432") and not mod_97("GB82WEST12345698765431")
    assert iso_7064_mod_11_10("86095742719") and not iso_7064_mod_11_10("86095742718")
    assert verhoeff("2363") and not verhoeff("2364")


@given(st.text(alphabet="0123456789", min_size=11, max_size=18))
def test_exactly_one_check_digit_makes_a_card(digits):
    assert sum(luhn(digits + last) for last in "0123456789") == 1


@given(st.text(max_size=300))
def test_findings_are_in_order_apart_and_inside(text):
    findings = find(text, EVERYTHING)
    assert all(0 <= item.start < item.end <= len(text) for item in findings)
    assert all(one.end <= other.start for one, other in pairwise(findings))


@given(st.text(alphabet="0123456789 ()+-./@x:,aA", max_size=4000))
def test_hostile_texts_take_no_time(text):
    """Patterns that go back and forth over a text would take minutes here."""
    find(text, EVERYTHING)


_PIECES = [
    "call 030 123 45 67 89",
    "jane@example.com",
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "10.1.2.3",
]


@given(
    st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6), st.sampled_from([" ", ", ", "\n", " and "])
)
def test_masking_leaves_nothing_and_is_done_once(pieces, between):
    redactor = Redactor(dict.fromkeys(Entity, Action.MASK))
    text = redactor.redact(between.join(pieces)).text
    assert not any(piece.removeprefix("call ") in text for piece in pieces)
    assert redactor.redact(text).text == text


def test_a_pseudonym_is_the_same_however_the_value_is_written_and_another_under_another_key():
    policy = dict.fromkeys(Entity, Action.PSEUDONYM)
    remembered: dict[str, str] = {}
    redactor = Redactor(policy, KEY, remember=remembered.__setitem__)
    one = redactor.redact("card 4111 1111 1111 1111").text
    other = redactor.redact("card 4111-1111-1111-1111").text
    assert one == other != Redactor(policy, KEY[::-1]).redact("card 4111111111111111").text
    assert list(remembered) == [one.removeprefix("card ")]
    assert redactor.redact("mail A@example.com").text == redactor.redact("mail a@example.com").text


def test_pseudonyms_need_a_key():
    with pytest.raises(UsageError, match=r"key of 16 bytes at least, and it has 5.*privacy\.key_env"):
        Redactor({Entity.EMAIL: Action.PSEUDONYM}, b"short")


def test_what_is_allowed_stays_and_what_is_dropped_says_so():
    redactor = Redactor({Entity.EMAIL: Action.DROP, Entity.PHONE: Action.ALLOW})
    redacted = redactor.redact("a@example.com, call +49 30 1234567")
    assert redacted.dropped == (Entity.EMAIL,)
    assert "+49 30 1234567" in redacted.text
    assert redactor.counts == {Entity.EMAIL: 1}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Anna Maria van der Berg called", ["Anna Maria van der Berg"]),
        ("please ask ANNA about it", ["ANNA"]),
        ("J. R. Tolkien wrote", ["J. R. Tolkien"]),
        ("Will you? May I?", []),
        ("Will Tolkien come?", ["Will Tolkien"]),
        ("Yesterday. Anna left", ["Anna"]),
        ("anna is lower case", []),
        ("Anna's card and Anna-Lena's", ["Anna's", "Anna-Lena's"]),
    ],
)
def test_names_by_list(text, names):
    known = NameList(["Anna", "Maria", "Will", "May"], ["Berg", "Tolkien"])
    assert [text[item.start : item.end] for item in known.find(text)] == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("everyone calls me Aantje here", ["Aantje"]),
        ("Her maiden name is LeBatelier.", ["LeBatelier"]),
        ("hi, my name is vitoria and i lost it", ["vitoria"]),
        ("my name is not on the list", []),
        ("my name is spelled wrong", []),
        ("please call me back", []),
        ("The name is wrong", []),
    ],
)
def test_names_after_words_that_announce_them(text, names):
    found = find(text, frozenset({Entity.NAME}))
    assert [text[item.start : item.end] for item in found] == names


def test_a_long_text_full_of_findings_takes_time_in_proportion():
    """100,000 characters are the most of a prompt; squares of that would be minutes."""
    text = "write to jane@example.com or call 030 123 45 67 89; " * 2_000
    assert len(find(text, EVERYTHING)) == 4_000


def _finds(*stretches: tuple[int, int]) -> Callable[[str], Iterator[Finding]]:
    """A detector of names that finds these."""
    return lambda text: (Finding(Entity.NAME, start, end, sure=False) for start, end in stretches)


def test_names_that_detectors_find_in_part_are_cut_out_whole():
    text = "ask Anna Karenina Oblonsky now"
    by_list, by_model = _finds((9, 26)), _finds((4, 17))
    redactor = Redactor({Entity.NAME: Action.MASK}, detectors=(by_list, by_model))
    assert redactor.redact(text).text == "ask [NAME] now"
    assert redactor.counts[Entity.NAME] == 1


def test_what_a_model_takes_in_beside_a_name_is_no_part_of_it():
    """An address that is surely one stays one, and the name is cut out all the same."""
    text = "from Anna Karenina anna@example.org, today"
    redactor = Redactor({Entity.NAME: Action.MASK, Entity.EMAIL: Action.MASK}, detectors=(_finds((5, 36)),))
    assert redactor.redact(text).text == "from [NAME] [EMAIL][NAME] today"


def test_a_detectors_findings_of_kinds_that_are_allowed_count_for_nothing():
    redactor = Redactor({Entity.EMAIL: Action.MASK, Entity.NAME: Action.ALLOW}, detectors=(_finds((0, 3)),))
    assert redactor.redact("Ann writes").text == "Ann writes"


@given(st.text(max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6))
def test_whatever_detectors_find_is_found_once_in_order_and_within_the_text(text, stretches):
    within = [(low, min(high, len(text))) for low, high in stretches if low < min(high, len(text))]
    found = find(text, EVERYTHING, [_finds(*within)])
    assert all(one.end <= other.start for one, other in pairwise(found))
    covered = {place for item in found for place in range(item.start, item.end)}
    assert all(
        place in covered or text[place].isspace() for low, high in within for place in range(low, high)
    ) or any(item.entity is not Entity.NAME for item in found)
