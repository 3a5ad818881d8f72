"""Logs for programs: a line of JSON for each message, with sessions by a part of their id, and nobody's address."""

import logging
from datetime import UTC, datetime

import msgspec

FIELDS = ("session", "endpoint")
"""What messages may carry beside their text."""


class JsonFormatter(logging.Formatter):
    """One line of JSON: time (UTC), level, logger, message, and whichever `FIELDS` and exception there are."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a message."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: str(getattr(record, name)) for name in FIELDS if hasattr(record, name)},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def log_as_json() -> None:
    """Write the program's own messages to stderr as JSON from now on, also those that people are spared."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in ("engines", "realtime", "server"):
        logging.getLogger(package).setLevel(logging.INFO)
