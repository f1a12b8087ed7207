"""What is purged leaves no trace in the files."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest
from captured import made

from tutelage.errors import UsageError
from tutelage.serving.store import open_store


def bytes_under(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def test_no_byte_of_a_purged_subject_stays_and_none_of_the_others_goes(tmp_path: Path) -> None:
    async def use() -> None:
        draw = random.Random(5)
        store = open_store(tmp_path / "s.sqlite")
        for number in range(1_400):  # texts of many lengths: pages split, overflow and are moved about
            of_subject = number % 7 == 0
            text = ("ERASED" if of_subject else "stays") + "-" + "x" * draw.choice([3, 80, 900, 9_000])
            key = f"{'subject' if of_subject else 'other'}-{number % 4 if not of_subject else 0}"
            await store.capture(made(text, key=key), promise="batched" if number % 500 else "durable")
        await store.capture(made(), promise="durable")
        assert b"ERASED" in bytes_under(tmp_path) and b"subject-0" in bytes_under(tmp_path)
        assert store.purge(keys=["subject-0"]) == 200
        assert store.purge(keys=["subject-0"]) == 0
        left = bytes_under(tmp_path)
        assert b"ERASED" not in left and b"subject-0" not in left
        assert left.count(b"stays-") >= 1_200
        assert len(store.captures(limit=10_000)) == 1_201
        assert store.totals(0).total().requests == 1_401
        await store.close()

    asyncio.run(use())


def test_a_purge_by_age_takes_what_is_older_and_with_a_key_only_its_own(tmp_path: Path) -> None:
    async def use() -> None:
        store = open_store(tmp_path / "s.sqlite")
        old = [made("ERASED", key=key) for key in ("a", "b")]
        for capture in old:
            await store.capture(capture, promise="durable")
        time.sleep(0.005)
        now = time.time()
        new = made("stays", key="a")
        await store.capture(new, promise="durable")
        assert store.purge(before=now, keys=["b"]) == 1
        assert store.captures() == [new, old[0]]
        assert store.purge(before=now) == 1
        assert store.captures() == [new]
        assert b"ERASED" not in bytes_under(tmp_path)
        with pytest.raises(UsageError, match="needs a time or a key"):
            store.purge()
        await store.close()

    asyncio.run(use())
