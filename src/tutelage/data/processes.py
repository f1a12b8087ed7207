"""Work on batches in several processes of this machine, its results in the batches' order.

Children are started as commands of their own and not forked, so that threads of this process can't leave them
a lock that is held, and a user's script needn't guard its main module. What goes to and fro are objects of
this project between processes of this project; nothing that was stored is read so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Generic, TypeVar

from tutelage.errors import ProcessDied

_AT_LEAST = 12  # batches; fewer are done before children have started
_MOST = 8  # children: more than one process that reads for them can feed
_WAITING = 2  # batches for each child that may be under way

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_batches(
    work: Callable[[Batch], Result], batches: Iterable[Batch], *, most: int | None = None
) -> Iterator[Result]:
    """`work` of each batch, in order, in `most` processes (None: one for each processor, eight at most).

    `work` can be pickled, and gives the same in whichever process. A few batches, or all where one process is
    to do it, are done in this one. Raises ProcessDied, and whatever `work` raises.
    """
    count = min(processors(), _MOST) if most is None else most
    rest = iter(batches)
    first = list(islice(rest, _AT_LEAST))
    if count < 2 or len(first) < _AT_LEAST:
        yield from map(work, chain(first, rest))
        return
    with ExitStack() as stack:
        children: SimpleQueue[_Child[Batch, Result]] = SimpleQueue()
        for _ in range(count):
            children.put(stack.enter_context(_Child(work)))

        def ask(batch: Batch) -> Result:
            child = children.get()
            try:
                return child.ask(batch)
            finally:
                children.put(child)

        threads = stack.enter_context(ThreadPoolExecutor(count))
        waiting: deque[Future[Result]] = deque()
        try:
            for batch in chain(first, rest):
                waiting.append(threads.submit(ask, batch))
                if len(waiting) > count * _WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class _Child(Generic[Batch, Result]):
    """A process that does `work`."""

    def __init__(self, work: Callable[[Batch], Result]) -> None:
        their_in, self._out = Pipe(duplex=False)
        self._in, their_out = Pipe(duplex=False)
        paths = os.pathsep.join(path for path in sys.path if path)
        ends = (their_in, their_out)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "tutelage.data.process_child"),
                *(str(end.fileno()) for end in ends),
            ],
            pass_fds=[end.fileno() for end in ends],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": paths},
        )
        for end in ends:
            end.close()
        self._out.send(work)

    def ask(self, batch: Batch) -> Result:
        try:
            self._out.send(batch)
            done, result = self._in.recv()
        except (EOFError, OSError) as error:
            raise ProcessDied(
                f"a process that read rows ended with {self._process.wait()}. Mend: if that is -9, memory "
                "was short: give it more; else see what it wrote above"
            ) from error
        if not done:
            raise result
        return result  # type: ignore[no-any-return]

    def __enter__(self) -> _Child[Batch, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._in.close()


def answer(incoming: Connection, outgoing: Connection) -> None:
    """The child's side: do the work that comes first for each batch that follows, until there are no more."""
    try:
        work = incoming.recv()
        while True:
            batch = incoming.recv()
            try:
                outgoing.send((True, work(batch)))
            except Exception as error:  # noqa: BLE001 - raised where the batch came from
                outgoing.send((False, error))
    except (EOFError, BrokenPipeError):
        return
