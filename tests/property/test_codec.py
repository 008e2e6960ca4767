"""Whatever an entry holds, it comes back; whatever is torn off or changed, nothing wrong comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.error import StateRefused
from penstock.operators.record import Output, Record
from penstock.state import codec
from penstock.state.codec import Joiner, LogRecord, decode, encode
from penstock.state.delta import Basis, Bucket, Clock, Delta, Entry, Header, Position

whole = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**40)
plain = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False) | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.text(max_size=6)
positions = st.builds(Position, counts, counts, counts, counts, counts)
clocks = st.builds(Clock, st.none() | whole, counts, st.none() | whole)
headers = st.builds(
    Header,
    seq=counts,
    incarnation=counts,
    kind=st.sampled_from(["opened", "delta", "released"]),
    owner=names,
    positions=st.dictionaries(names, positions, max_size=2),
    clocks=st.dictionaries(names, clocks, max_size=2),
    sent=st.dictionaries(names, whole, max_size=2),
)
facts = st.tuples(
    names, whole, whole, st.none() | st.binary(max_size=30), st.none() | st.lists(plain, max_size=4).map(tuple)
)
outputs = st.builds(
    Output,
    names,
    names,
    st.none() | st.binary(max_size=5),
    st.none() | st.binary(max_size=40),
    st.lists(st.tuples(names, st.binary(max_size=5)), max_size=2).map(tuple),
)
bases = st.none() | st.builds(
    Basis,
    keying=st.dictionaries(names, names, max_size=2),
    known=st.lists(names, max_size=3).map(tuple),
    retired=st.dictionaries(names, counts, max_size=2),
    definitions=st.dictionaries(names, names, max_size=2),
)
deltas = st.builds(
    Delta,
    header=headers,
    slots=st.lists(names, max_size=3).map(tuple),
    facts=st.lists(facts, max_size=5),
    cells=st.dictionaries(names, st.dictionaries(names, plain, max_size=2), max_size=3),
    runs=st.dictionaries(names, st.none() | st.binary(max_size=2000), max_size=2),
    partials=st.lists(st.tuples(names, counts, counts, names), max_size=2),
    outputs=st.lists(outputs, max_size=3),
    basis=bases,
    forgotten=st.lists(st.tuples(names, counts, st.none() | counts), max_size=3),
)
buckets = st.builds(
    Bucket,
    index=counts,
    of=counts,
    seq=counts,
    slots=st.lists(names, max_size=3).map(tuple),
    keys=st.dictionaries(names, plain, max_size=3),
    runs=st.dictionaries(names, st.binary(max_size=2000), max_size=2),
    basis=bases,
)
entries: st.SearchStrategy[Entry] = deltas | buckets
small_chunks = st.integers(1, 400)


def cut(entry: Entry, chunk_bytes: int, first: int) -> list[Record]:
    """The records of an entry, as the codec would cut them with smaller chunks."""
    (whole_record,) = codec.records_of(entry, 5)
    data = whole_record.value
    ((name, tag),) = whole_record.headers
    numbers = tag.split()
    slices = [data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes)]
    parts = [
        LogRecord(whole_record.key, part, ((name, b" ".join([*numbers[:3], b"%d %d" % (i, len(slices)), numbers[5]])),))
        for i, part in enumerate(slices)
    ]
    return [Record("log", 0, first + i, 0, each.key, each.value, each.headers) for i, each in enumerate(parts)]


@given(entries)
def test_what_is_encoded_comes_back(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@given(st.lists(st.tuples(entries, small_chunks), min_size=1, max_size=4), st.data())
def test_exactly_the_entries_whose_records_are_all_there_come_back_in_order(
    parts: list[tuple[Entry, int]], data: st.DataObject
) -> None:
    records: list[Record] = []
    expected: list[Entry] = []
    for entry, chunk_bytes in parts:
        group = cut(entry, chunk_bytes, len(records))
        kept = data.draw(st.sampled_from([len(group), len(group), len(group) - 1, 1]), label="kept")
        records += group[:kept]
        expected += [entry] if kept == len(group) else []
    joiner = Joiner()
    joined = [found.entry for record in records if (found := joiner.add(record)) is not None]
    assert joined == expected


@given(entries, st.data())
def test_a_changed_byte_is_noticed(entry: Entry, data: st.DataObject) -> None:
    (record,) = cut(entry, 1 << 20, 0)
    value = bytearray(record.value or b"")
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    changed = Record("log", 0, 0, 0, record.key, bytes(value), record.headers)
    try:
        Joiner().add(changed)
    except StateRefused:
        return
    raise AssertionError("a changed entry was taken for a good one")
