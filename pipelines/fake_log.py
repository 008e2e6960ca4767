"""Who asked the simulated model, when, and what it said: one JSON line when a call begins and one when it ends.

    {"at": 1042.113, "id": "2-9f1c….1.5be0aa17", "event": "begun", "prompt": "3c1f…"}
    {"at": 1044.870, "id": "2-9f1c….1.5be0aa17", "event": "finished", "said": "{…}"}

`at` is in seconds of this machine's monotonic clock, `id` the request's `X-Request-Id` or else the id of the answer, `prompt` a
digest of the messages. A call that nobody waits for any more ends as `aborted`, one that is broken off on purpose as `cut`. Every
line is written before the client can see what it tells: nobody is given an answer whose end is not noted.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import orjson

from penstock.connectors.clock import MachineClock
from penstock.operators.error import Rejected
from penstock.pipelines.fake_protocol import ChatCall
from penstock.pipelines.fake_work import Work

DIGEST_BYTES = 8

Ending = Literal["finished", "cut", "aborted"]


class CallLog:
    """A file that is written line by line and never read here; a `path` of None writes nothing."""

    def __init__(self, path: Path | None) -> None:
        """Raises Rejected where the file cannot be written."""
        self._clock = MachineClock()
        self._file: FileIO | None = None
        if path is not None:
            try:
                self._file = FileIO(path, "a")
            except OSError as error:
                raise Rejected(f"cannot be written: {error}", where=str(path), remedy="check --log") from error

    def begun(self, name: str, call: ChatCall, work: Work) -> Callable[[Ending], None]:
        """Note that a call begins; returns what notes its end, of which only the first counts."""
        if self._file is None:
            return lambda ending: None
        prompt = "\0".join(message.content for message in call.prompt())
        self._write(
            {"id": name, "event": "begun", "prompt": blake2b(prompt.encode(), digest_size=DIGEST_BYTES).hexdigest()}
        )
        over = False

        def ended(ending: Ending) -> None:
            nonlocal over
            if not over:
                over = True
                said = {} if ending == "aborted" else {"said": "".join(work.tokens[: work.delivered])}
                self._write({"id": name, "event": ending, **said})

        return ended

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, fields: dict[str, Any]) -> None:
        if self._file is not None and not self._file.closed:
            self._file.write(orjson.dumps({"at": self._clock.monotonic(), **fields}) + b"\n")
