from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.teachers._logprobs import EPSILON, Token, _Ahead, label_distribution, read_tokens


def walked(*steps: dict[str, float]) -> list[Token]:
    """Tokens of an answer: each step's options, of which the first was taken."""
    return [
        Token(next(iter(step)).encode(), {text.encode(): p for text, p in step.items()}) for step in steps
    ]


OPEN, CLOSE = {'{"label": "': 1.0}, {'"}': 1.0}


def test_first_token_tells_the_labels_apart() -> None:
    tokens = walked(OPEN, {"card": 0.6, "refund": 0.3, "other": 0.1}, CLOSE)
    row = label_distribution(tokens, "card", ["refund", "card", "other"])
    np.testing.assert_allclose(row, [0.3, 0.6, 0.1], rtol=1e-6)


def test_shared_beginnings_are_walked_to_where_they_part() -> None:
    tokens = walked(OPEN, {"card": 0.9, "re": 0.1}, {"_": 1.0}, {"lost": 0.7, "stolen": 0.3}, CLOSE)
    row = label_distribution(tokens, "card_lost", ["card_lost", "card_stolen", "refund", "reversal"])
    np.testing.assert_allclose(row, [0.63, 0.27, 0.05, 0.05], rtol=1e-6)


def test_a_label_that_begins_another() -> None:
    tokens = walked(OPEN, {"card": 1.0}, {'"}': 0.8, " stolen": 0.2})
    np.testing.assert_allclose(label_distribution(tokens, "card", ["card", "card stolen"]), [0.8, 0.2])
    tokens = walked(OPEN, {"card": 1.0}, {" stolen": 0.2, '"': 0.3, '"}': 0.5}, CLOSE)
    np.testing.assert_allclose(label_distribution(tokens, "card stolen", ["card", "card stolen"]), [0.8, 0.2])


def test_text_that_is_no_label_is_left_out() -> None:
    """As from a runtime that reports probabilities from before its grammar was applied."""
    tokens = walked(OPEN, {"ref": 0.03, "Your": 0.5, "card": 0.01}, {"und": 0.5, "use": 0.3}, CLOSE)
    np.testing.assert_allclose(
        label_distribution(tokens, "refund", ["refund", "card"]), [0.75, 0.25], rtol=1e-6
    )


def test_other_cuts_of_the_same_text_change_nothing() -> None:
    tokens = walked(OPEN, {"ref": 0.3, "refu": 0.3, "re": 0.2, "card": 0.2}, {"und": 1.0}, CLOSE)
    row = label_distribution(tokens, "refund", ["refund", "reversal", "card"])
    np.testing.assert_allclose(row, [0.75, 0, 0.25], rtol=1e-6)


def test_tokens_that_reach_over_the_labels_edges() -> None:
    tokens = walked({'{"label":': 1.0}, {' "card': 0.6, ' "refund"}': 0.4}, {'"}': 1.0})
    np.testing.assert_allclose(label_distribution(tokens, "card", ["refund", "card"]), [0.4, 0.6], rtol=1e-6)


def test_unlisted_mass_goes_to_labels_that_were_not_seen_up_to_epsilon() -> None:
    row = label_distribution(walked(OPEN, {"a": 0.9, "Sure": 1e-9}, CLOSE), "a", ["a", "b", "c"])
    np.testing.assert_allclose(row, [1 - EPSILON, EPSILON / 2, EPSILON / 2], rtol=1e-5)
    row = label_distribution(walked(OPEN, {"a": 1 - 1e-5}, CLOSE), "a", ["a", "b"])
    np.testing.assert_allclose(row, [1 - 1e-5, 1e-5], rtol=1e-3)


def test_without_any_alternative_listed_nothing_is_known_of_the_other_labels() -> None:
    """From endpoints that give log-probabilities of the tokens taken alone: no distribution, no certainty."""
    for tokens in (
        walked(OPEN, {"a": 0.5}, CLOSE),
        walked({'{"label"': 0.9}, {': "': 0.9}, {"a": 0.9}, {'"}': 0.9}),
        walked({"a": 0.6}, {"": 1.0}),
    ):
        assert label_distribution(tokens, "a", ["a", "b"]) is None
    sure = walked({'{"label": "': 0.7}, {"a": 1.0}, {'"}': 0.7})  # nothing else was possible
    np.testing.assert_allclose(label_distribution(sure, "a", ["a", "b"]), [1, 0])


def test_bare_labels_and_their_end() -> None:
    tokens = walked({"\n": 1.0}, {"card": 1.0}, {"": 0.7, " stolen": 0.2, "\n": 0.1})
    np.testing.assert_allclose(
        label_distribution(tokens, "card", ["card", "card stolen"]), [0.8, 0.2], rtol=1e-6
    )
    tokens = walked({"card": 0.75, "refund": 0.25})  # no token for the end
    np.testing.assert_allclose(label_distribution(tokens, "card", ["card", "refund"]), [0.75, 0.25])
    # Nothing tells how likely " stolen" was to follow: no distribution, rather than a certain one.
    assert label_distribution(tokens, "card", ["card", "card stolen", "refund"]) is None


def test_a_code_fence_and_line_breaks_around_the_object() -> None:
    tokens = walked(
        {"```json\n": 1.0},
        {'{\n  "label"': 1.0},
        {" : ": 1.0},
        {'"': 1.0},
        {"b": 0.8, "a": 0.2},
        {'"\n}\n```': 1.0},
    )
    np.testing.assert_allclose(label_distribution(tokens, "b", ["a", "b"]), [0.2, 0.8])


def test_characters_cut_in_two_and_escapes() -> None:
    labels = ["über", "österreich", 'the "best"']
    high, low = "ü".encode()[:1], "ü".encode()[1:]
    tokens = [
        Token(b'{"label": "', {b'{"label": "': 1.0}),
        Token(high, {high: 0.9, b"the": 0.1}),
        Token(low, {low: 0.5, "ö".encode()[1:]: 0.5}),
        Token(b'ber"}', {b'ber"}': 1.0}),
    ]
    np.testing.assert_allclose(label_distribution(tokens, "über", labels), [0.45, 0.45, 0.1], rtol=1e-6)
    tokens = walked(OPEN, {"\\u00f": 1.0}, {"c": 0.6, "6": 0.4}, {'ber"}': 1.0})
    np.testing.assert_allclose(label_distribution(tokens, "über", labels[:2]), [0.6, 0.4], rtol=1e-6)
    tokens = walked(OPEN, {"the \\": 1.0}, {'"best': 1.0}, {'\\"': 1.0}, CLOSE)
    np.testing.assert_allclose(label_distribution(tokens, labels[2], labels[1:]), [0, 1])


def test_tokens_that_say_something_else() -> None:
    assert label_distribution(walked(OPEN, {"dog": 1.0}, CLOSE), "card", ["card", "dog"]) is None
    assert label_distribution([], "card", ["card"]) is None
    assert label_distribution(walked(OPEN, {"card": 0.0}, CLOSE), "card", ["card", "dog"]) is None


def test_read_tokens_takes_bytes_and_adds_the_token_taken() -> None:
    content = [
        {
            "token": "\ufffd",
            "bytes": [195],
            "logprob": -9999.0,
            "top_logprobs": [{"token": "a", "logprob": 0.0}],
        }
    ]
    [token] = read_tokens(content) or []
    assert (token.text, token.options) == (b"\xc3", {b"a": 1.0, b"\xc3": 0.0})
    [token] = read_tokens([{"token": "a", "logprob": 1e-6, "top_logprobs": None}]) or []
    assert token.options == {b"a": 1.0}
    assert read_tokens([{"token": "a", "logprob": math.nan}]) is None


label_sets = st.lists(
    st.text('abé"_ ', min_size=1, max_size=6).filter(lambda text: text.strip() == text),
    min_size=2,
    max_size=8,
    unique=True,
)


def spelt(labels: Sequence[str], weights: Sequence[float], answered: int) -> list[Token]:
    """What a model that says whole labels with these probabilities reports, a byte a token, when it says one."""
    targets = [json.dumps(label, ensure_ascii=False)[1:].encode() for label in labels]
    tokens = [Token(b'{"label": "', {b'{"label": "': 1.0})]
    for position in range(len(targets[answered])):
        before = targets[answered][:position]
        alive = [i for i, text in enumerate(targets) if text.startswith(before)]
        total = sum(weights[i] for i in alive)
        options: dict[bytes, float] = {}
        for i in alive:
            byte = targets[i][position : position + 1]
            options[byte] = options.get(byte, 0.0) + weights[i] / total
        tokens.append(Token(targets[answered][position : position + 1], options))
    return [*tokens, Token(b"}", {b"}": 1.0})]


@given(label_sets, st.data())
def test_agrees_with_a_model_whose_distribution_is_known(labels: list[str], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 1), min_size=len(labels), max_size=len(labels)))
    answered = data.draw(st.integers(0, len(labels) - 1))
    row = label_distribution(spelt(labels, weights, answered), labels[answered], labels)
    assert row is not None
    assert row[answered] == pytest.approx(weights[answered] / sum(weights), rel=1e-4)
    assert row.sum() == pytest.approx(1.0, abs=1e-5)
    assert (row > 0).all()  # every label can be said, so every label has a share


@given(label_sets, st.data())
def test_any_options_give_a_distribution_led_by_a_dominant_answer(
    labels: list[str], data: st.DataObject
) -> None:
    """Noise of every kind among the options, cut wherever: still finite, summing to 1, and the answer leads."""
    answered = data.draw(st.sampled_from(labels))
    text = json.dumps(answered, ensure_ascii=False)[1:].encode() + b"}"
    tokens = [Token(b'{"label": "', {b'{"label": "': 1.0})]
    pieces = st.one_of(
        st.binary(max_size=4),
        st.sampled_from([json.dumps(label, ensure_ascii=False)[1:].encode() for label in labels]),
    )
    while text:
        size = data.draw(st.integers(1, len(text)))
        taken, text = text[:size], text[size:]
        noise = data.draw(st.dictionaries(pieces, st.floats(0, 1), max_size=6))
        # Of all that is listed the token taken has more than 15/16, and there are at most 11 tokens (two bytes
        # each for `é` and an escaped quote, and the two after them), so the path keeps (15/16)**14 > 0.4.
        scale = 1 / 16 / max(sum(noise.values()), 1.0)
        options = {name: p * scale for name, p in noise.items() if name != taken}
        tokens.append(Token(taken, {taken: 15 / 16, b"\xff": 1e-9, **options}))
    row = label_distribution(tokens, answered, labels)
    assert row is not None and row.dtype == np.float32
    assert np.isfinite(row).all() and (row >= 0).all()
    assert row.sum() == pytest.approx(1.0, abs=1e-5)
    if (15 / 16) ** len(tokens) > 0.5 + EPSILON * len(tokens):
        assert labels[int(row.argmax())] == answered


@given(
    st.sets(st.text("ab\u00e9", max_size=4), min_size=1, max_size=8),
    st.binary(max_size=2),
    st.lists(st.text('ab\u00e9\u0101"}', max_size=6), max_size=8),
    st.data(),
)
def test_whom_an_option_leads_to_is_found_as_if_each_label_were_looked_at(
    names: set[str], lead: bytes, options: list[str], data: st.DataObject
) -> None:
    targets = [json.dumps(name, ensure_ascii=False).encode() for name in sorted(names, reverse=True)]
    answered = data.draw(st.sampled_from(targets))
    done = data.draw(st.integers(0, len(answered)))
    alive = [place for place, target in enumerate(targets) if target[:done] == answered[:done]]
    alive.sort(key=targets.__getitem__)
    ahead = _Ahead(targets, alive, lead, done)
    given_options = [option.encode() for option in options]
    given_options += [
        lead + answered[done:],
        (lead + answered[done:])[:-1],
        lead + answered[done:] + b"}",
        lead,
    ]
    for option in given_options:
        rest = {label: lead + targets[label][done:] for label in alive}
        wanted = {
            label
            for label, text in rest.items()
            if option and (text.startswith(option) or option.startswith(text))
        }
        assert ahead.leads_to(option) == wanted


def test_alternatives_of_another_form_cost_only_the_distribution() -> None:
    content = [{"token": '{"label": "', "logprob": 0.0}, {"token": "card", "logprob": "x"}]
    tokens = read_tokens([*content, {"token": '"}', "logprob": 0.0}])
    assert tokens is not None
    assert label_distribution(tokens, "card", ["refund", "card"]) is None


# Pieces of labels, none of which begins another: each label is cut into tokens in one way only.
SYLLABLES = ["a", "b", "\u00e9", '"', " x", "\\", "_", "1"]
spelt_labels = st.lists(
    st.lists(st.sampled_from(SYLLABLES), min_size=1, max_size=4).map(tuple),
    min_size=2,
    max_size=9,
    unique=True,
)
WRAPPED = [
    ('{"label": "', '"}'),
    ('{"label":"', '"'),
    ('```json\n{"label" : "', '"\n}\n```'),
    ('{"rationale": "It says \\"label\\": \\"a\\".", "label": "', '"}'),
    ('{"label": "', '", "rationale": "Not \\"label\\": \\"b\\"."}'),
    ("", ""),  # bare, with a token for the end
]


@given(spelt_labels, st.sampled_from(WRAPPED), st.data())
def test_agrees_with_counting_it_out_by_hand(
    cut: list[tuple[str, ...]], wrapped: tuple[str, str], data: st.DataObject
) -> None:
    """Of a model that gives each label a weight: what leaves the path at a token, evenly to what it leads to."""
    before, after = wrapped

    def spelt_as(syllable: str) -> bytes:
        written = json.dumps(syllable, ensure_ascii=False)[1:-1] if before else syllable
        return written.encode()

    end = after.encode()
    paths = [(*map(spelt_as, label), end) for label in cut]
    weights = data.draw(st.lists(st.floats(0.05, 1), min_size=len(cut), max_size=len(cut)))
    noise = data.draw(st.sampled_from([{}, {b"Sure": 0.5}, {b"Sure": 0.2, b"Hm": 0.1}]))
    answered = data.draw(st.integers(0, len(cut) - 1))
    alive, wanted, share = set(range(len(cut))), np.zeros(len(cut)), 1.0
    tokens = [Token(before.encode(), {before.encode(): 1.0})] if before else []
    for place, token in enumerate(paths[answered]):
        mass: dict[bytes, list[int]] = {}
        for label in alive:
            mass.setdefault(paths[label][place], []).append(label)
        total = sum(weights[label] for label in alive)
        odds = {text: sum(weights[label] for label in some) / total for text, some in mass.items()}
        for text, some in mass.items():
            if text != token:
                wanted[some] += share * odds[text] / len(some)
        share *= odds[token]
        alive = set(mass[token])
        kept = 1 - sum(noise.values())
        tokens.append(Token(token, {text: p * kept for text, p in odds.items()} | noise))
    wanted[answered] += share
    labels = ["".join(label) for label in cut]
    row = label_distribution(tokens, labels[answered], labels)
    if not before and labels[answered].strip() != labels[answered]:
        return  # white space around a bare answer is no part of it, so this one isn't the label's
    assert row is not None
    np.testing.assert_allclose(row, wanted, atol=1e-6)
