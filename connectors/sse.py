"""Server-sent events out of a byte stream, without any I/O: bytes go in, the data of whole events comes out.

Follows the event stream format of the HTML standard: lines end in LF, CR or CRLF, an empty line ends an event, several
`data` lines are joined by LF, a line that begins with a colon is a comment (servers keep connections alive with it).
`event`, `id` and `retry` are read and ignored: no OpenAI-compatible server gives them a meaning. `sse_events.py` keeps them.

The classic mistake is to decode or to split what one read returned: a read ends anywhere, also inside a character or
between CR and LF. Here bytes stay bytes until an event is whole.
"""

from __future__ import annotations

EVENT_BYTES_MAX = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CR, _LF = b"\r\n"


class EventTooLong(ValueError):
    """A line, or the data of one event, exceeds the cap; the stream has to be given up."""


class EventParser:
    """`feed` the bytes as they arrive. What comes out does not depend on how the stream was cut into chunks.

    An event whose empty line never came is not returned: it may be cut.
    """

    __slots__ = ("_after_cr", "_begun", "_cap", "_data", "_data_size", "_line", "_line_size")

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._cap = event_bytes_max
        # Parts of the line that has not ended yet: joined once, so that a long line in small reads stays linear.
        self._line: list[bytes] = []
        self._line_size = 0
        self._data: list[bytes] = []
        self._data_size = 0
        self._after_cr = False
        self._begun = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Data of the events that this chunk completed, in order. Raises EventTooLong."""
        if self._is_one_event(chunk):
            self._begun, self._after_cr = True, False
            return [chunk[6:-2]]
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        lines = chunk.splitlines()  # of bytes: splits at LF, CR and CRLF only
        last = chunk[-1]
        self._after_cr = last == _CR
        rest = lines.pop() if last not in (_CR, _LF) else b""
        if lines and self._line:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line, self._line_size = [], 0
        if rest:
            self._keep(rest)
        return self._events(lines)

    def _is_one_event(self, chunk: bytes) -> bool:
        """What nearly every read of a token stream brings: one event of one line, and nothing left over from before."""
        return (
            chunk[:6] == b"data: "
            and chunk.find(b"\n") == len(chunk) - 2
            and chunk[-1] == _LF
            and b"\r" not in chunk
            and not self._line
            and not self._data
            and len(chunk) <= self._cap
        )

    def _keep(self, rest: bytes) -> None:
        self._line.append(rest)
        self._line_size += len(rest)
        if self._line_size > self._cap:
            raise self._too_long()

    def _unmarked(self, lines: list[bytes]) -> list[bytes]:
        """Without the byte order mark that a stream may begin with."""
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        return lines

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in self._unmarked(lines):
            if line[:5] == b"data:":
                self._add(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                self._add(b"")
            elif not line and self._data:
                events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data, self._data_size = [], 0
        return events

    def _add(self, value: bytes) -> None:
        self._data.append(value)
        self._data_size += len(value)
        if self._data_size > self._cap:
            raise self._too_long()

    def _too_long(self) -> EventTooLong:
        return EventTooLong(f"the stream holds an event of more than {self._cap} bytes")
