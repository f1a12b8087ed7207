"""Data: sources, duplicates, the gold set."""

from tutelage.data.duplicates import DuplicateIndex, Match, drop_repeats, exclude_gold
from tutelage.data.gold import (
    GoldSet,
    clean_gold,
    examples_needed,
    gold_gate,
    half_width,
    make_seal,
    read_calibration,
    read_sealed,
    read_training,
    resolve_labels,
    split_training,
    verify_seal,
)
from tutelage.data.sources import (
    RejectReason,
    Rows,
    read_gold,
    read_prompts,
    read_rows,
    reject_repeated_id,
    row_reader,
    wanted_columns,
)
from tutelage.data.suites import Suite, SuitePrompt, read_suite
from tutelage.data.tables import gold_to_table, prompts_from_table, prompts_to_table, rejections_to_table

__all__ = [
    "DuplicateIndex",
    "GoldSet",
    "Match",
    "RejectReason",
    "Rows",
    "Suite",
    "SuitePrompt",
    "clean_gold",
    "drop_repeats",
    "examples_needed",
    "exclude_gold",
    "gold_gate",
    "gold_to_table",
    "half_width",
    "make_seal",
    "prompts_from_table",
    "prompts_to_table",
    "read_calibration",
    "read_gold",
    "read_prompts",
    "read_rows",
    "read_sealed",
    "read_suite",
    "read_training",
    "reject_repeated_id",
    "rejections_to_table",
    "resolve_labels",
    "row_reader",
    "split_training",
    "verify_seal",
    "wanted_columns",
]
