"""A real CEL implementation behind a pipe: one JSON object per line in, one out.

Run as a process of its own. The library takes the process with it on some inputs and holds the interpreter on others, so
nobody who tests imports it.

    {"text": "event.n > 1", "event": {"n": 2}}  ->  {"value": true}   or   {"error": "KeyError: …"}
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cel


def answer(question: dict[str, Any]) -> dict[str, object]:
    try:
        return {"value": cel.evaluate(question["text"], {"event": question["event"]})}
    except BaseException as error:  # noqa: BLE001  # its panics are no Exceptions, and each is an answer: it has no value
        return {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
