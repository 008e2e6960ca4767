"""Any split of a stream gives the same events, and they are those that the standard's grammar names."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.sse import EventParser
from penstock.connectors.sse_events import ServerEvents

LINE = st.one_of(
    st.just(b""),
    st.just(b"data"),
    st.text(max_size=12).map(lambda text: b"data: " + text.encode("utf-8", "surrogatepass")),
    st.text(max_size=12).map(lambda text: b"data:" + text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b": ping", b":", b"event: x", b"id: 1", b"dat", b"database: 1", b" data: 1"]),
    st.binary(max_size=8),
)
STREAM = st.lists(st.tuples(LINE, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20).map(
    lambda lines: b"".join(line + end for line, end in lines)
)
CUTS = st.lists(st.integers(0, 200), max_size=30)


def parse(chunks: list[bytes]) -> list[bytes]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def by_the_standard(stream: bytes) -> list[bytes]:
    """The grammar read off the page, whole stream in hand."""
    events: list[bytes] = []
    data: list[bytes] = []
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    for line in lines[:-1]:
        if not line:
            if data:
                events.append(b"\n".join(data))
            data = []
            continue
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
    return events


@given(STREAM, CUTS)
def test_any_split_of_a_stream_gives_the_events_of_the_standard(stream: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    chunks = [stream[begin:end] for begin, end in pairwise(edges)]
    assert parse(chunks) == parse([stream[i : i + 1] for i in range(len(stream))]) == by_the_standard(stream)


@given(STREAM, CUTS)
def test_whoever_asks_for_ids_gets_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    parser = ServerEvents()
    events = [event for begin, end in pairwise(edges) for event in parser.events(stream[begin:end])]
    assert [event.data for event in events] == by_the_standard(stream)
