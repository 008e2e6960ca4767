"""Entries of the log: what is written comes back, and what is wrong with the bytes is said."""

from __future__ import annotations

from random import Random
from zlib import crc32

import pytest

from penstock.operators.error import Damaged, TooNew
from penstock.operators.record import Record
from penstock.state.codec import CHUNK_BYTES, COMPRESS_BYTES_MIN, Joined, Joiner, LogRecord, decode, encode, records_of
from penstock.state.delta import FORMAT, Bucket, Delta, Header


def delta_of(seq: int = 0, incarnation: int = 1, text: str = "") -> Delta:
    return Delta(header=Header(seq=seq, incarnation=incarnation), cells={"k": {"t": text}})


def noise(size: int) -> str:
    """Text that takes about so many bytes however well it is compressed."""
    return Random(1).randbytes(size).hex()


def raws(records: list[LogRecord], first: int = 0) -> list[Record]:
    return [Record("log", 0, first + i, 0, each.key, each.value, each.headers) for i, each in enumerate(records)]


def join(records: list[Record], joiner: Joiner | None = None) -> list[Joined]:
    joiner = joiner or Joiner()
    return [joined for record in records if (joined := joiner.add(record)) is not None]


def test_the_first_byte_is_the_format() -> None:
    assert encode(delta_of())[0] == FORMAT


def test_small_entries_are_not_compressed_and_large_ones_are() -> None:
    assert b"needle" in encode(delta_of(text="needle"))
    large = encode(delta_of(text="needle" * COMPRESS_BYTES_MIN))
    assert len(large) < COMPRESS_BYTES_MIN
    assert decode(large) == delta_of(text="needle" * COMPRESS_BYTES_MIN)


def test_what_does_not_compress_is_left_as_it_is() -> None:
    delta = Delta(header=Header(seq=0, incarnation=1), runs={"r": Random(1).randbytes(4000)})
    assert encode(delta)[0] == FORMAT
    assert decode(encode(delta)) == delta


def test_a_higher_format_is_refused_with_what_to_do() -> None:
    sentence = rf"log/0@7.*format {FORMAT + 1}.*up to {FORMAT}.*run the version that wrote it"
    for entry in (delta_of(), Bucket(index=0, of=1, seq=0), delta_of(text=noise(COMPRESS_BYTES_MIN))):
        data = encode(entry)
        with pytest.raises(TooNew, match=sentence) as refusal:
            decode(bytes([data[0] + 1]) + data[1:], "log/0@7")
        assert refusal.value.exit_code == 4


def test_who_was_forgotten_is_written_only_where_somebody_was() -> None:
    header = Header(seq=0, incarnation=1)
    some = Delta(header=header, forgotten=[("a", 0, None), ("b", 3, 60_000)])
    assert decode(encode(some)) == some
    assert b"forgotten" not in encode(Delta(header=header))


def test_every_lower_format_is_read() -> None:
    data = encode(delta_of())
    for version in range(1, FORMAT + 1):
        assert decode(bytes([version]) + data[1:]) == delta_of()


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\xc1", b"\x81not zstd", b"\x41\x80"])
def test_bytes_that_no_version_wrote_are_damage(data: bytes) -> None:
    with pytest.raises(Damaged, match="log/0@7"):
        decode(data, "log/0@7")


def test_format_nought_is_damage() -> None:
    with pytest.raises(Damaged, match=r"log/0@7.*not written by Penstock"):
        decode(b"\x00" + encode(delta_of())[1:], "log/0@7")


def test_an_entry_is_cut_into_records_of_half_a_mebibyte() -> None:
    records = records_of(delta_of(text=noise(5 * CHUNK_BYTES)), incarnation=1)
    assert len(records) > 2
    assert {len(record.value) for record in records[:-1]} == {CHUNK_BYTES}
    assert all(record.key == b"delta" for record in records)


def test_the_header_of_a_record_can_be_read_by_people() -> None:
    (record,) = records_of(Bucket(index=3, of=16, seq=9), incarnation=4)
    assert record.key == b"bucket 3/16"
    assert record.headers == (("penstock", b"%d 9 4 0 1 %d" % (FORMAT, crc32(record.value))),)


def test_an_entry_is_joined_when_its_last_record_has_come() -> None:
    delta = delta_of(text=noise(3 * CHUNK_BYTES))
    records = raws(records_of(delta, incarnation=1), first=5)
    joiner = Joiner()
    assert join(records[:-1], joiner) == []
    assert join(records[-1:], joiner) == [Joined(delta, 1, 5, len(encode(delta)))]
    assert joiner.incomplete == 0


def test_an_incomplete_group_is_ignored_whatever_follows() -> None:
    large, small = delta_of(seq=1, text=noise(3 * CHUNK_BYTES)), delta_of(seq=1, incarnation=2)
    torn = records_of(large, incarnation=1)[:2]
    joiner = Joiner()
    joined = join(raws([*torn, *records_of(small, incarnation=2)]), joiner)
    assert joined == [Joined(small, 2, 2, len(encode(small)))]
    assert joiner.incomplete == 1


def test_a_group_is_not_completed_by_another_incarnation_with_the_same_seq() -> None:
    ours, theirs = delta_of(text=noise(3 * CHUNK_BYTES)), delta_of(incarnation=2, text=noise(3 * CHUNK_BYTES)[::-1])
    mixed = [*records_of(ours, incarnation=1)[:1], *records_of(theirs, incarnation=2)[1:]]
    assert join(raws(mixed)) == []


def test_the_same_numbers_written_again_begin_anew() -> None:
    failed, again = delta_of(text=noise(3 * CHUNK_BYTES)), delta_of(text=noise(3 * CHUNK_BYTES)[::-1])
    records = [*records_of(failed, incarnation=1)[:2], *records_of(again, incarnation=1)]
    assert [joined.entry for joined in join(raws(records))] == [again]


def test_interleaved_groups_are_joined_apart() -> None:
    one, two = delta_of(seq=0, text=noise(3 * CHUNK_BYTES)), delta_of(seq=1, text=noise(3 * CHUNK_BYTES)[::-1])
    pairs = zip(records_of(one, incarnation=1), records_of(two, incarnation=1), strict=True)
    assert [joined.entry for joined in join(raws([record for pair in pairs for record in pair]))] == [one, two]


def test_a_wrong_checksum_is_damage_and_says_where() -> None:
    (record,) = raws(records_of(delta_of(text="abc"), incarnation=1), first=41)
    changed = Record("log", 0, 41, 0, record.key, (record.value or b"").replace(b"abc", b"abd"), record.headers)
    with pytest.raises(Damaged, match=r"log/0@41.*checksum"):
        Joiner().add(changed)


@pytest.mark.parametrize("header", [b"1 2", b"one", b"", b"0 0 1 0 1 0", None])
def test_a_record_of_somebody_else_is_damage(header: bytes | None) -> None:
    headers = () if header is None else (("penstock", header),)
    with pytest.raises(Damaged, match=r"log/0@3.*not written by Penstock"):
        Joiner().add(Record("log", 0, 3, 0, None, b"hello", headers))


def test_a_record_framed_by_a_newer_version_is_refused_whatever_else_it_says() -> None:
    header = b"%d and all else is new" % (FORMAT + 1)
    with pytest.raises(TooNew, match=f"format {FORMAT + 1}"):
        Joiner().add(Record("log", 0, 3, 0, b"delta", b"", (("penstock", header),)))
