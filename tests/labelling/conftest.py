from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tutelage.labelling import AnswerLedger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[AnswerLedger]:
    """An empty answer ledger, `a.sqlite` of the test's folder."""
    with AnswerLedger(tmp_path / "a.sqlite") as opened:
        yield opened
