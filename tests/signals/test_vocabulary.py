from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tiny_writers import CHAT, save_sure_writer
from tutelage.errors import ConfigError, IntegrityError
from tutelage.signals import (
    TokenLogprobs,
    Vocabulary,
    read_token_manifest,
    require_same_vocabulary,
    tail,
    token_manifest,
    with_ids,
    write_token_manifest,
)
from tutelage.signals.tokens import NO_ID

OWN = Vocabulary("t1", 49_152, "c1")
MADE_WITH = token_manifest("local", "big", "r1", "v1", 32, OWN)


def test_a_student_with_the_teachers_tokens_is_let_pass(tmp_path):
    write_token_manifest(tmp_path, MADE_WITH)
    assert read_token_manifest(tmp_path) == MADE_WITH
    require_same_vocabulary(MADE_WITH, OWN, "small")
    assert (MADE_WITH.k, MADE_WITH.vocabulary, MADE_WITH.kind) == (32, 49_152, "tokens")


@pytest.mark.parametrize(
    ("student", "named"),
    [
        (replace(OWN, size=32_000), "tokens in the vocabulary: 49152, the student's 32000"),
        (replace(OWN, tokenizer="t2"), "tokenizer: t1, the student's t2"),
        (replace(OWN, template=""), "chat template: c1, the student's none"),
    ],
)
def test_another_students_is_refused_and_what_differs_is_named(student, named):
    with pytest.raises(ConfigError, match=r"'big' can't teach .*'small'.*--set student\.base=big") as caught:
        require_same_vocabulary(MADE_WITH, student, "small")
    assert named in str(caught.value) and str(caught.value).count("the student's") == 1


def test_of_an_endpoint_nothing_is_known_and_nothing_compared():
    require_same_vocabulary(token_manifest("openai:m", "m", "r1", "v1", 5), OWN, "small")


def test_an_absent_or_damaged_manifest_is_told(tmp_path):
    with pytest.raises(IntegrityError, match=r"missing.*tutelage label --force"):
        read_token_manifest(tmp_path)
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "manifest.json").write_text("[]")
    with pytest.raises(IntegrityError, match=r"no manifest of signals.*tutelage label --force"):
        read_token_manifest(tmp_path)


def test_ids_are_found_for_an_endpoints_bytes():
    given = TokenLogprobs.of([[(b"re", -0.1), (b"\xc3", -3.0), (b"zz", -4.0)], [(b"", -0.2)]])
    found = with_ids(given, {b"re": 7, b"\xc3": 9, b"fund": 8})
    np.testing.assert_array_equal(found.ids, [[7, 9, NO_ID], [NO_ID] * 3])
    np.testing.assert_array_equal(tail(found), tail(given))
    assert with_ids(TokenLogprobs.of([]), {}).ids.shape == (0, 0)


def test_a_tokenizer_is_known_again_and_another_is_told_from_it(tmp_path):
    pytest.importorskip("transformers")
    from transformers import AutoTokenizer

    save_sure_writer(tmp_path / "chat", "causal", CHAT)
    save_sure_writer(tmp_path / "plain", "causal")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "chat")
    own = Vocabulary.of(tokenizer)
    assert own.size == len(tokenizer) and own.template
    tokenizer(["a", "a longer one"], padding=True, truncation=True, max_length=3)
    assert Vocabulary.of(tokenizer) == own, "whatever it was asked for"
    tokenizer.save_pretrained(tmp_path / "again")
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    assert Vocabulary.of(again) == own
    assert (
        replace(Vocabulary.of(AutoTokenizer.from_pretrained(tmp_path / "plain")), template=own.template)
        == own
    )
    again.add_tokens(["zzz"])
    changed = Vocabulary.of(again)
    assert changed.size == own.size + 1 and changed.tokenizer != own.tokenizer
