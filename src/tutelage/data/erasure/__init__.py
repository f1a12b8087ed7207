"""Removing what belongs to a person from files, row by row, and looking whether anything is left."""

from tutelage.data.erasure.databases import erase_rows, scrub
from tutelage.data.erasure.files import erase_csv, erase_json_lines
from tutelage.data.erasure.search import holds
from tutelage.data.erasure.tables import erase_parquet
from tutelage.data.erasure.traces import Traces, words_of

__all__ = [
    "Traces",
    "erase_csv",
    "erase_json_lines",
    "erase_parquet",
    "erase_rows",
    "holds",
    "scrub",
    "words_of",
]
