"""Raw rows of sources of every format: files, folders, databases, logs and hub data sets."""

from tutelage.data.rows.database import is_database
from tutelage.data.rows.hub import HUB
from tutelage.data.rows.opening import open_rows, source_name
from tutelage.data.rows.row import Row

__all__ = ["HUB", "Row", "is_database", "open_rows", "source_name"]
