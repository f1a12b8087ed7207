"""A server's state: captures, rollout, keys, monitors and alerts, in SQLite or PostgreSQL."""

from tutelage.serving.store._records import Alert, ApiKey, RolloutChange, Tally, Totals
from tutelage.serving.store._reviews import Reviews
from tutelage.serving.store._store import Store, open_store

__all__ = ["Alert", "ApiKey", "Reviews", "RolloutChange", "Store", "Tally", "Totals", "open_store"]
