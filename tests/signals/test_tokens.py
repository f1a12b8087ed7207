from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import IntegrityError
from tutelage.signals import TokenLogprobs, pack, tail, unpack
from tutelage.signals.tokens import MOST_CELLS, NO_ID

HEADER = struct.Struct("<3sBBIHI")
SOME = TokenLogprobs.of(
    [
        [(b"ref", np.log(0.5)), (b"lost", np.log(0.3)), (b"\xc3", np.log(0.1))],
        [(b"und", np.log(0.9))],
        [(b"", 0.0), (b"!", -30.0)],
    ]
)

ALTERNATIVES = st.lists(
    st.tuples(st.binary(max_size=6), st.floats(max_value=0.0, allow_nan=False, width=32)),
    min_size=1,
    max_size=5,
)


@st.composite
def answers(draw):
    rows = draw(st.lists(ALTERNATIVES, max_size=8))
    if draw(st.booleans()):
        return TokenLogprobs.of(rows)
    number = st.integers(NO_ID, 2**31 - 1)
    return TokenLogprobs.of(
        rows, [draw(st.lists(number, min_size=len(row), max_size=len(row))) for row in rows]
    )


@given(answers())
def test_what_is_packed_comes_back(tokens):
    back = unpack(pack(tokens))
    assert back == tokens
    assert back.logprobs.dtype == np.float32 and back.logprobs.shape == tokens.logprobs.shape
    assert back.ids is None or back.ids.dtype == np.int32


def test_width_and_padding_come_back_though_no_row_fills_it():
    wide = TokenLogprobs(((b"a", b"", b""),), np.array([[-1.0, -np.inf, -np.inf]], dtype=np.float32))
    assert unpack(pack(wide)) == wide
    empty = TokenLogprobs((), np.zeros((0, 7), dtype=np.float32), np.zeros((0, 7), dtype=np.int32))
    assert unpack(pack(empty)) == empty


def test_rows_are_padded_and_ids_go_with_them():
    tokens = TokenLogprobs.of([[(b"a", -0.1), (b"b", -2.5)], [(b"c", 1e-7)]], [[4, 9], [0]])
    assert len(tokens) == 2
    assert tokens.texts == ((b"a", b"b"), (b"c", b""))
    np.testing.assert_array_equal(tokens.logprobs[1], np.array([0.0, -np.inf], dtype=np.float32))
    np.testing.assert_array_equal(tokens.ids, [[4, 9], [0, NO_ID]])
    assert tokens != TokenLogprobs(tokens.texts, tokens.logprobs)


@pytest.mark.parametrize(
    "rows", [[[(b"a", float("nan"))]], [[(b"a", 0.5)]], [[(b"a", float("inf"))]]], ids=["nan", "0.5", "inf"]
)
def test_what_is_no_log_probability_is_refused(rows):
    with pytest.raises(ValueError, match="above 0 or not a number"):
        TokenLogprobs.of(rows)


def test_shapes_and_types_are_held_to():
    row = np.zeros((1, 2), dtype=np.float32)
    for texts, logprobs, ids in [
        (((b"a",),), row, None),
        (((b"a", b"b"),), row.astype(np.float64), None),
        (((b"a", b"b"),), row[0], None),
        (((b"a", b"b"),), row, np.zeros((1, 1), dtype=np.int32)),
        (((b"a", b"b"),), row, np.zeros((1, 2), dtype=np.int64)),
    ]:
        with pytest.raises(ValueError):
            TokenLogprobs(texts, logprobs, ids)
    with pytest.raises(ValueError, match="2 alternatives and 1 ids"):
        TokenLogprobs.of([[(b"a", -1.0), (b"b", -1.0)]], [[1]])


def test_the_tail_is_what_the_list_leaves():
    np.testing.assert_allclose(np.exp(tail(SOME)), [0.1, 0.1, 0.0], atol=1e-6)
    assert tail(SOME).dtype == np.float32
    over = TokenLogprobs.of([[(b"a", 0.0), (b"b", -1.0)]])
    assert tail(over)[0] == -np.inf
    assert tail(TokenLogprobs.of([])).shape == (0,)


def test_it_is_compact():
    rng = np.random.default_rng(0)
    rows = [
        [(b"token%d" % number, -float(value)) for number, value in enumerate(rng.exponential(4.0, 20))]
        for _ in range(50)
    ]
    assert len(pack(TokenLogprobs.of(rows))) < 50 * 20 * 8


def test_ids_alone_take_at_most_300_bytes_a_token_with_32_alternatives():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 150_000, (200, 32)).astype(np.int32)
    logprobs = -rng.exponential(4.0, (200, 32)).astype(np.float32)
    tokens = TokenLogprobs(tuple((b"",) * 32 for _ in ids), logprobs, ids)
    assert len(pack(tokens)) <= 200 * 300
    assert unpack(pack(tokens)) == tokens


@given(st.binary(max_size=64))
def test_foreign_bytes_are_refused(content):
    with pytest.raises(IntegrityError, match="damaged"):
        unpack(content)


@given(answers(), st.data())
def test_a_changed_byte_never_crashes(tokens, data):
    content = bytearray(pack(tokens))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(IntegrityError):  # a flag or a width may change to another valid one
        unpack(bytes(content))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 1),
    st.binary(max_size=80),
)
def test_a_well_formed_shell_around_foreign_content_never_crashes(length, width, flags, body):
    content = HEADER.pack(b"TLP", 1, flags, length, width, len(body)) + zlib.compress(body)
    try:
        tokens = unpack(content)
    except IntegrityError:
        return
    assert tokens.logprobs.shape == (length, width)


@pytest.mark.parametrize("cut", [0, 3, HEADER.size, -1])
def test_truncated_bytes_are_refused(cut):
    with pytest.raises(IntegrityError):
        unpack(pack(SOME)[:cut])


def test_what_is_left_over_is_refused():
    with pytest.raises(IntegrityError):
        unpack(pack(SOME) + b"x")


def test_a_bomb_is_not_inflated():
    bomb = zlib.compress(b"\0" * (1 << 24))
    with pytest.raises(IntegrityError, match="claim"):
        unpack(HEADER.pack(b"TLP", 1, 0, 1, 1, 100) + bomb)
    with pytest.raises(IntegrityError, match="claim"):
        unpack(HEADER.pack(b"TLP", 1, 0, MOST_CELLS, 200, 100) + bomb)


def test_what_is_too_long_is_refused_when_packed():
    wide = np.zeros((1, 70_000), dtype=np.float32)
    with pytest.raises(ValueError, match=r"top_k"):
        pack(TokenLogprobs(((b"",) * 70_000,), wide))
