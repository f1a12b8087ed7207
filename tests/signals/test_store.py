from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tutelage import encryption, storage
from tutelage.errors import IntegrityError
from tutelage.progress import Silent
from tutelage.records import Prompt
from tutelage.signals import Manifest, Revealing, SignalRows, SignalStore, collect_signals, require_signals

MADE_WITH = Manifest(
    "hidden_states", "toy", "toy-model", "r1", "t1", "v1", layers=(2,), pooling="", dtype="float16", width=3
)
PROMPTS = [Prompt(str(number), f"text {number}") for number in range(150)]
HASHES = [prompt.hash for prompt in PROMPTS]


class Toy:
    """Reveals as many rows as the text's number says, modulo 4; may die after some calls."""

    reveals = ("hidden_states",)

    def __init__(self, manifest=MADE_WITH, calls=99):
        self._manifest, self._calls, self.asked = manifest, calls, []

    def manifest(self, kind):
        return self._manifest

    def reveal(self, prompts, kind):
        if self._calls == 0:
            raise KeyboardInterrupt
        self._calls -= 1
        self.asked += [prompt.hash for prompt in prompts]
        return [np.full((int(p.id) % 4, 3), int(p.id), dtype=np.float16) for p in prompts]


def contents(folder):
    return {key: array for shard in SignalStore.open(folder).shards() for key, array in shard.items()}


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr("tutelage.signals.store.SHARD_BYTES", 100)


def test_ragged_signals_come_back_by_hash(tmp_path, small_shards):
    assert isinstance(Toy(), Revealing)
    assert collect_signals([*PROMPTS, PROMPTS[0]], Toy(), tmp_path, ["hidden_states"], Silent()) == 150
    found = contents(tmp_path / "hidden_states")
    assert list(found) == HASHES
    for prompt in PROMPTS:
        wanted = np.full((int(prompt.id) % 4, 3), int(prompt.id), dtype=np.float16)
        np.testing.assert_array_equal(found[prompt.hash], wanted)
    assert len(list((tmp_path / "hidden_states").glob("*.safetensors"))) == 3
    require_signals(tmp_path, {"hidden_states": MADE_WITH}, HASHES)


def test_an_interrupted_run_goes_on_after_its_last_whole_shard(tmp_path, small_shards):
    with pytest.raises(KeyboardInterrupt):
        collect_signals(PROMPTS, Toy(calls=2), tmp_path, ["hidden_states"], Silent())
    folder = tmp_path / "hidden_states"
    assert len(SignalStore.open(folder)) == 128
    (folder / "shard-00002.safetensors").write_bytes(b"half of it")  # as a kill before the manifest leaves it
    again = Toy()
    assert collect_signals(PROMPTS, again, tmp_path, ["hidden_states"], Silent()) == 22
    assert again.asked == HASHES[128:]
    assert list(contents(folder)) == HASHES


def test_what_is_kept_is_not_revealed_again(tmp_path):
    collect_signals(PROMPTS, Toy(), tmp_path, ["hidden_states"], Silent())
    assert collect_signals(PROMPTS, Toy(calls=0), tmp_path, ["hidden_states"], Silent()) == 0


def test_another_revision_is_named_refused_and_collected_anew(tmp_path):
    collect_signals(PROMPTS, Toy(), tmp_path, ["hidden_states"], Silent())
    other = replace(MADE_WITH, revision="r2", layers=(1, 2))
    assert MADE_WITH.differences(other) == [
        "revision: it has 'r1', wanted is 'r2'",
        "layers: it has [2], wanted is [1, 2]",
    ]
    assert MADE_WITH.differences(MADE_WITH) == []
    with pytest.raises(IntegrityError, match=r"has 'r1', wanted is 'r2'.*Mend: run `tutelage label"):
        require_signals(tmp_path, {"hidden_states": other})
    assert collect_signals(PROMPTS, Toy(other), tmp_path, ["hidden_states"], Silent()) == 150
    require_signals(tmp_path, {"hidden_states": other}, HASHES)


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    collect_signals(PROMPTS, Toy(), tmp_path, ["hidden_states"], Silent())
    path = tmp_path / "hidden_states" / "shard-00000.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-5])
    else:
        content[-1] ^= 1
        path.write_bytes(content)
    for use in (
        lambda: require_signals(tmp_path, {"hidden_states": MADE_WITH}),
        lambda: contents(tmp_path / "hidden_states"),
        lambda: collect_signals(PROMPTS, Toy(), tmp_path, ["hidden_states"], Silent()),
    ):
        with pytest.raises(IntegrityError, match=r"shard-00000\.safetensors"):
            use()


def test_absent_signals_and_prompts_are_refused(tmp_path):
    with pytest.raises(IntegrityError, match="holds no signals"):
        require_signals(tmp_path, {"hidden_states": MADE_WITH})
    collect_signals(PROMPTS[:100], Toy(), tmp_path, ["hidden_states"], Silent())
    with pytest.raises(IntegrityError, match="50 of 150 prompts have no hidden_states"):
        require_signals(tmp_path, {"hidden_states": MADE_WITH}, HASHES)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"shards": [], "made_with": {"kind": 1}}', '{"shards": [1]}', "{"]
)
def test_a_manifest_of_another_form_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(IntegrityError, match="Mend: delete it and run"):
        SignalStore.open(tmp_path)


def test_what_does_not_fit_is_not_written(tmp_path):
    store = SignalStore(tmp_path, MADE_WITH)
    good = np.zeros((1, 3), dtype=np.float16)
    for array in (good[:, :2], good.astype(np.float32), good[0]):
        with pytest.raises(ValueError, match="wanted is"):
            store.append(["a"], [array])
    with pytest.raises(ValueError, match="twice"):
        store.append(["a", "a"], [good, good])
    assert not (tmp_path / "manifest.json").exists()
    store.append(["a"], [good])
    with pytest.raises(ValueError, match="twice"):
        store.append(["a"], [good])
    assert json.loads((tmp_path / "manifest.json").read_text())["made_with"]["width"] == 3


def test_in_an_encrypted_folder_rows_are_decrypted_as_they_are_asked_for(tmp_path, small_shards, monkeypatch):
    monkeypatch.setenv(encryption.KEY_ENV, encryption.new_key())
    folder = tmp_path / "answers" / "signals"
    plain = tmp_path / "plain"
    collect_signals(PROMPTS, Toy(), plain, ["hidden_states"], Silent())
    encryption.mark(tmp_path)
    collect_signals(PROMPTS, Toy(), folder, ["hidden_states"], Silent())
    path = folder / "hidden_states"
    assert all(storage.is_encrypted(file) for file in path.iterdir())
    ones, others = contents(path), contents(plain / "hidden_states")
    assert ones.keys() == others.keys() == set(HASHES)
    rows = SignalRows(path)
    for key, array in ones.items():
        assert np.array_equal(array, others[key]) and np.array_equal(rows[key], array)
        assert rows[key].dtype == np.float16 and rows[key].flags.writeable
    shard = next(path.glob("shard-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(IntegrityError):
        SignalRows(path)
