"""A folder with a prompt a file."""

from __future__ import annotations

import pytest

from tutelage.config import ColumnsConfig
from tutelage.data import read_gold, read_prompts
from tutelage.errors import DataError
from tutelage.tasks import Classify


@pytest.fixture
def folder(tmp_path):
    for name, content in {
        "billing/b.txt": b"\xef\xbb\xbfThe invoice\nis wrong.\n",
        "billing/a.md": "Café".encode(),
        "parcel/c.eml": b"Where is it?",
        "parcel/bad.txt": b"caf\xe9",
        "parcel/empty.txt": b" \n",
        "parcel/huge.txt": b"x" * 4_000_001,
        "parcel/photo.png": b"\x89PNG",
        ".git/hidden.txt": b"hidden",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("form", ["texts", None])
def test_each_text_file_is_a_prompt_under_its_path(folder, form):
    read = read_prompts(folder, ColumnsConfig(), form=form)
    assert [(item.id, item.text) for item in read.accepted] == [
        ("billing/a.md", "Café"),
        ("billing/b.txt", "The invoice\nis wrong.\n"),
        ("parcel/c.eml", "Where is it?"),
    ]
    assert [str(item.reason) for item in read.rejected] == ["not_utf8", "empty_text", "too_long"]
    assert "4,000,001 bytes" in read.rejected[-1].detail and read.total == 6


def test_folders_may_be_the_labels_of_gold(folder):
    read = read_gold(folder, ColumnsConfig(label="folder"), task=Classify(()), form="texts")
    assert [item.value for item in read.accepted] == ["billing", "billing", "parcel"]


def test_a_folder_that_isnt_one_of_texts_says_so(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DataError, match=r"has no text files \(.txt.*Mend"):
        read_prompts(empty, ColumnsConfig(), form="texts")
    with pytest.raises(DataError, match="there is no 'who'. Mend: leave columns.subject out"):
        read_prompts(folder, ColumnsConfig(subject="who"), form="texts")
    with pytest.raises(DataError, match=r"is a folder. Mend.*/\*.jsonl"):
        read_prompts(folder, ColumnsConfig(), form="jsonl")
