"""Logs of requests to a model: what each format calls a request, as plain messages."""

from tutelage.data.logs.chats import InputOf, Request
from tutelage.data.logs.formats import LOGS, log_format

__all__ = ["LOGS", "InputOf", "Request", "log_format"]
