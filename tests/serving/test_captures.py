"""What is kept of a request: its id tells when."""

from __future__ import annotations

import threading
import time
import uuid

from tutelage.serving.captures import first_id, new_id


def test_ids_of_several_threads_are_unique_and_sorted_by_their_making() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into: list[str]) -> None:
        into.extend(new_id() for _ in range(2_000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in made)
    assert len({id for ids in made for id in ids}) == 8_000


def test_an_id_is_a_uuid_of_version_7_that_tells_its_millisecond() -> None:
    before = time.time()
    id = uuid.UUID(new_id())
    assert (id.version, id.variant) == (7, uuid.RFC_4122)
    assert before - 0.001 <= (id.int >> 80) / 1000 <= time.time() + 0.001


def test_ids_made_before_and_after_a_time_lie_on_its_two_sides() -> None:
    earlier = new_id()
    time.sleep(0.002)
    now = time.time()
    time.sleep(0.002)
    assert earlier < first_id(now) < new_id()
