import shutil

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from tiny_world import MULTI, TASK, TEXTS, save_checkpoint
from tutelage import storage
from tutelage.compression import export_onnx, quantise
from tutelage.config import StudentConfig
from tutelage.errors import IntegrityError, UnsafeModelError, UsageError
from tutelage.serving.runtime import OnnxStudent, load_runtime
from tutelage.students.encoder import EncoderLearner

LONG = ["", "a", *TEXTS, " ".join(TEXTS) * 20, "ünknown wörds 🙂 " * 3]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("base"))


def student_of(base, task):
    return EncoderLearner(StudentConfig(base=str(base), layers=2), task, base).finished()


@pytest.fixture(scope="module")
def student(base):
    return student_of(base, TASK)


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(student, folder)
    return folder


def test_an_exported_student_says_what_it_said(student, exported):
    loaded = load_runtime(exported)
    assert isinstance(loaded, OnnxStudent)
    assert loaded.labels == student.labels and loaded.parameters == student.parameters
    np.testing.assert_allclose(loaded.predict(LONG), student.predict(LONG), atol=1e-6)
    assert loaded.predict([]).shape == (0, len(student.labels))


def test_each_text_is_answered_as_if_it_were_alone(exported):
    loaded = load_runtime(exported)
    together = loaded.predict(LONG)
    for row, text in enumerate(LONG):
        np.testing.assert_allclose(loaded.predict([text])[0], together[row], atol=1e-6)


@pytest.mark.long
def test_several_labels_have_independent_odds(base, tmp_path):
    several = student_of(base, MULTI)
    export_onnx(several, tmp_path)
    np.testing.assert_allclose(load_runtime(tmp_path).predict(LONG), several.predict(LONG), atol=1e-6)


def test_eight_bits_are_smaller_and_near(student, exported, tmp_path):
    quantise(exported, tmp_path)
    assert storage.read_json(tmp_path / "student.json")["precision"] == "int8"
    loaded = load_runtime(tmp_path)
    np.testing.assert_allclose(loaded.predict(LONG), student.predict(LONG), atol=0.05)
    assert (tmp_path / "model.onnx").stat().st_size < (exported / "model.onnx").stat().st_size


@pytest.mark.long
def test_a_word_of_large_weights_costs_no_other_word_its_digits(base, tmp_path):
    import torch

    folders = [tmp_path / name for name in ("whole", "eight", "whole with it", "eight with it")]
    for folder in folders:
        folder.mkdir()
    student = student_of(base, TASK)
    texts = ["parcel", "the refund", "password please"]
    export_onnx(student, folders[0])
    quantise(folders[0], folders[1])
    table = student.network.body.get_input_embeddings().weight
    used = {token for text in texts for token in student.tokenizer(text)["input_ids"]}
    unused = max(set(range(len(table))) - used - {student.tokenizer.pad_token_id})
    with torch.no_grad():
        table[unused] *= 1000
    export_onnx(student, folders[2])
    quantise(folders[2], folders[3])
    np.testing.assert_array_equal(
        load_runtime(folders[3]).predict(texts), load_runtime(folders[1]).predict(texts)
    )


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "student.json"])
def test_a_changed_file_is_noticed(exported, tmp_path, name):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(Exception) as caught:
        load_runtime(folder)
    assert isinstance(caught.value, IntegrityError | ValueError | KeyError)


@pytest.mark.parametrize("name", ["weights.pkl", "pytorch_model.BIN", "model.pt", "hook.py", "head.joblib"])
def test_a_folder_with_what_can_run_code_is_refused(exported, tmp_path, name):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    (folder / name).write_bytes(b"")
    with pytest.raises(UnsafeModelError, match="can run code"):
        load_runtime(folder)


def test_a_link_out_of_the_folder_is_refused(exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(exported / "model.onnx")
    with pytest.raises(UnsafeModelError, match="points out of its folder"):
        load_runtime(folder)


def test_a_student_that_needs_torch_names_the_export(student, tmp_path):
    student.save(tmp_path)
    with pytest.raises(UsageError, match="family 'encoder'.*tutelage export"):
        load_runtime(tmp_path)
