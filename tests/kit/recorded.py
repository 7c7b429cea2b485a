"""What a running Chatwoot sent and answered, as recorded (`tests/real`)."""

import gzip
import json
from pathlib import Path
from typing import Any

REAL = Path(__file__).parents[1] / "real"
Json = dict[str, Any]


def read_lines(name: str) -> list[Json]:
    """Of a recording, `day/deliveries` for example: one object a line, in the order in which they
    arrived.
    """
    with gzip.open(REAL / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_rest() -> dict[str, Any]:
    """What REST said when the day was over: `conversations`, `messages/<display id>` and so on."""
    with gzip.open(REAL / "day" / "rest.json.gz", "rt", encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found
