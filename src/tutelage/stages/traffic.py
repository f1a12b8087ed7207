"""The traffic as the programme's sources hold it, redacted by its policy."""

from __future__ import annotations

from tutelage.data import Rows, read_prompts
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.stages.privacy import redacting
from tutelage.stages.sources import source_path


def read_traffic(programme: Programme, progress: Progress, most: int | None = None) -> Rows[Prompt]:
    """Its rows, `most` at most, duplicates still in them. Raises as `read_prompts` and `redacting`."""
    traffic = programme.config.traffic
    limits = [limit for limit in (traffic.limit, most) if limit is not None]
    with redacting(programme, progress) as redactor:
        return read_prompts(
            source_path(programme, traffic.path),
            traffic.columns,
            form=traffic.format,
            limit=min(limits, default=None),
            redactor=redactor,
        )
