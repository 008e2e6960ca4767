"""Server-sent events as a subscriber needs them: with their ids, which say where to go on after the connection broke."""

from __future__ import annotations

from typing import NamedTuple

from penstock.connectors.sse import EVENT_BYTES_MAX, EventParser


class ServerEvent(NamedTuple):
    """`id` is the last one that the stream has named, up to this event; empty if it names none."""

    data: bytes
    id: bytes
    type: bytes


class ServerEvents(EventParser):
    """An `EventParser` that keeps `id`, `event` and `retry`, as the HTML standard says under "interpreting an event stream"."""

    __slots__ = ("_found", "_id", "_type", "id", "retry_ms")

    def __init__(self, id: bytes = b"", event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        super().__init__(event_bytes_max)
        self.id = self._id = id
        """Of the last event, also of one without data: the id to go on behind."""
        self.retry_ms: int | None = None
        self._type = b""
        self._found: list[ServerEvent] = []

    def events(self, chunk: bytes) -> list[ServerEvent]:
        """Those that this chunk completed. Raises EventTooLong."""
        self._found = []
        self.feed(chunk)
        return self._found

    def _is_one_event(self, chunk: bytes) -> bool:
        """The base's short cut looks at nothing but data."""
        return False

    def _events(self, lines: list[bytes]) -> list[bytes]:
        for line in self._unmarked(lines):
            if line:
                self._take(line)
            else:
                self._dispatch()
        return []

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._add(value)
            case b"event":
                self._type = value
            case b"id" if b"\0" not in value:
                self._id = value
            case b"retry" if value.isdigit():
                self.retry_ms = int(value)

    def _dispatch(self) -> None:
        self.id = self._id
        if self._data:
            self._found.append(ServerEvent(b"\n".join(self._data), self.id, self._type))
        self._data, self._data_size, self._type = [], 0, b""
