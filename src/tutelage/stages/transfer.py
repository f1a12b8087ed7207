"""The transfer set as training takes it: only rows whose rights hold today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.gates import Verdict
from tutelage.programme import Programme, fingerprint
from tutelage.progress import Progress, Silent
from tutelage.records import SYNTHETIC, AnswerStatus
from tutelage.rights import basis_text, read_basis, standing_gate
from tutelage.stages.rights import TRANSFERRED, programme_use, standing_of_transfer

if TYPE_CHECKING:
    import pyarrow as pa


def basis_counts(table: pa.Table) -> dict[str, int]:
    """How many rows with a usable answer stand under which rights, by basis text.

    A table from before rights were kept has one text, the empty one.
    """
    import pyarrow.compute as pc

    usable = table.filter(pc.equal(table["status"], str(AnswerStatus.OK)))
    if "basis" not in table.column_names:
        return {"": usable.num_rows} if usable.num_rows else {}
    counted = pc.value_counts(pc.fill_null(usable["basis"], "")).to_pylist()
    return {row["values"]: row["counts"] for row in counted}


def with_bases(table: pa.Table, more: Mapping[str, str]) -> pa.Table:
    """The transfer set, its rows of these hashes under `more` rights (basis texts) beside their own."""
    import pyarrow as pa

    if not more:
        return table
    bases = [
        basis_text((*read_basis(own or ""), *read_basis(more.get(hash_, ""))))
        for hash_, own in zip(table["hash"].to_pylist(), table["basis"].to_pylist(), strict=True)
    ]
    place = table.schema.get_field_index("basis")
    return table.set_column(
        place, table.schema.field(place), pa.chunked_array([pa.array(bases, pa.string())])
    )


def synthetic_counts(table: pa.Table) -> dict[str, int]:
    """How many usable rows of the transfer set a model wrote, of how many."""
    import pyarrow.compute as pc

    usable = table.filter(pc.equal(table["status"], str(AnswerStatus.OK)))
    written = pc.sum(pc.equal(usable["source"], SYNTHETIC)).as_py() or 0
    return {"rows": written, "of": usable.num_rows}


def read_transfer(programme: Programme, progress: Progress | None = None) -> pa.Table:
    """The rows that may be learned from today, as `records.answered_schema`.

    Where a right has lapsed that some stand under, and `rights.lapsed` is `leave_out`, without those.
    Raises GateRefused where it is `refuse`, naming how many stand under what.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = storage.read_table(programme.transfer)
    decision = standing_gate(basis_counts(table), programme_use(programme), TRANSFERRED)
    if decision.verdict is Verdict.PASS or "basis" not in table.column_names:
        return table
    if programme.config.rights.lapsed == "refuse":
        decision.require()
    lapsed = [item for item in decision.evidence if item.verdict is not Verdict.PASS]
    for item in lapsed:
        (progress or Silent()).warn(f"left out (rights.lapsed): {item.reason}")
    texts = pa.array([item.term for item in lapsed], pa.string())
    return table.filter(pc.invert(pc.is_in(pc.fill_null(table["basis"], ""), value_set=texts)))


def split_by_time(programme: Programme) -> bool:
    """Whether what is held back of the transfer set is its latest rows."""
    return programme.config.traffic.split == "time"


def split_inputs(programme: Programme) -> dict[str, str]:
    """What parts of the transfer set depend on; nothing by default, so that nothing runs anew for it."""
    return {"traffic.split": programme.config.traffic.split} if split_by_time(programme) else {}


def transfer_rights_fingerprint(programme: Programme) -> str:
    """Changes with which rows of the transfer set may be learned from; cheap, from what `label` counted."""
    decision = standing_of_transfer(programme)
    if decision is None:
        return "absent"
    found = {item.term: str(item.verdict) for item in decision.evidence}
    return fingerprint([found, programme.config.rights.lapsed])
