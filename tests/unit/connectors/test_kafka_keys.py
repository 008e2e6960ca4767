from __future__ import annotations

from zlib import crc32

import pytest

from penstock.connectors.kafka_keys import Sample, judge
from penstock.connectors.partition import partition_of
from penstock.operators.error import Unreachable

KEYS = [f"key-{number}".encode() for number in range(30)]
JAVA: list[Sample] = [(key, partition_of(key, 4)) for key in KEYS]
LIBRDKAFKA: list[Sample] = [(key, crc32(key) % 4) for key in KEYS]
NEITHER: list[Sample] = [(key, number % 4) for number, key in enumerate(KEYS)]


@pytest.mark.parametrize("sample", [JAVA, LIBRDKAFKA])
def test_inputs_that_agree_are_fine_whatever_they_agree_on(sample: list[Sample]) -> None:
    assert judge({"a": sample, "b": sample[:10]}, 4) == []


def test_inputs_that_disagree_are_refused_and_both_named() -> None:
    with pytest.raises(Unreachable, match=r"^a is partitioned by murmur2, but b by CRC32: .*\(write both with one"):
        judge({"a": JAVA, "b": LIBRDKAFKA}, 4)


def test_an_input_without_keys_disagrees_with_nobody() -> None:
    assert judge({"a": JAVA, "empty": [], "b": JAVA}, 4) == []


def test_a_key_that_fits_both_by_chance_disagrees_with_nobody() -> None:
    both = [each for each in JAVA if each in LIBRDKAFKA]
    assert both
    assert judge({"a": JAVA, "few": both[:1], "c": JAVA}, 4) == []


def test_keys_that_fit_neither_are_worth_a_warning_only() -> None:
    (warning,) = judge({"a": JAVA, "odd": NEITHER}, 4)
    assert warning == (
        "the keys of odd are partitioned neither by murmur2 nor by CRC32; make sure that all inputs are partitioned alike, "
        "or set `rekey: true` for its source"
    )


def test_what_is_read_beside_a_rekeyed_topic_has_to_be_partitioned_as_we_do_it() -> None:
    assert judge({"a": JAVA}, 4, ["b"]) == []
    with pytest.raises(Unreachable, match="a is partitioned by CRC32, but b, which is rekeyed, by murmur2"):
        judge({"a": LIBRDKAFKA}, 4, ["b"])
