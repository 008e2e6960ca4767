from __future__ import annotations

from collections.abc import Sequence

import pytest

from penstock.connectors.kafka_repair import Span, Stock
from penstock.connectors.port import Layout
from penstock.operators.dead import dead_letter
from penstock.operators.error import Damaged
from penstock.operators.record import DeadLetter, Headers, Output, Record
from penstock.operators.result import source_of
from penstock.state.delta import Delta, Header

LAYOUT = Layout("dev", "watch", {"auth": "earliest"}, frozenset({"results", "partials"}))
OURS = source_of("dev", "watch")


def headers(identity: str, source: str = OURS) -> Headers:
    return (("ce_id", identity.encode()), ("ce_source", source.encode()))


def output(identity: str, topic: str = "results") -> Output:
    return Output(identity, topic, b"k", identity.encode(), headers(identity))


def last(*outputs: Output, sent: int = 40, partials: Sequence[tuple[str, int, int, str]] = ()) -> Delta:
    header = Header(seq=8, incarnation=2, sent={"results": sent, "partials": sent})
    return Delta(header=header, outputs=list(outputs), partials=list(partials))


def stock(delta: Delta | None, results: Span | None = None, partials: Span | None = None) -> Stock:
    spans = {"results": results or Span(0, 50), "partials": partials or Span(0, 41)}
    return Stock(LAYOUT, 3, delta, spans)


def lying(output: Output, offset: int = 41) -> Record:
    return Record(output.topic, 3, offset, 0, output.key, output.value, output.headers)


def test_what_is_there_is_not_missing_and_what_is_missing_keeps_its_order() -> None:
    outputs = [output(f"3-a/{number}") for number in range(4)]
    taken = stock(last(*outputs))
    taken.saw(lying(outputs[2]))
    taken.saw(lying(outputs[0]))
    assert taken.missing == [outputs[1], outputs[3]]


def test_one_outcome_on_two_topics_may_be_missing_on_one() -> None:
    here, there = output("3-a/2"), output("3-a/2", "partials")
    taken = stock(last(here, there), partials=Span(0, 50))
    taken.saw(lying(here))
    assert taken.missing == [there]


def test_a_record_without_key_and_value_is_known_by_how_it_is_written() -> None:
    letter = Output("auth/3@7", "results", None, None, (("penstock-dead-reason", b"empty"),))
    taken = stock(last(letter))
    taken.saw(Record("results", 3, 41, 0, None, b"", letter.headers))
    assert taken.missing == []


@pytest.mark.parametrize(
    ("results", "looked_at"),
    [
        pytest.param(Span(0, 41), None, id="nothing was written since"),
        pytest.param(Span(0, 42), Span(41, 42), id="a marker, or one record"),
        pytest.param(Span(0, 90), Span(41, 90), id="others write there, too"),
        pytest.param(Span(60, 90), Span(60, 90), id="the beginning is gone"),
        pytest.param(Span(0, 10), None, id="made anew, and shorter"),
    ],
)
def test_only_what_lies_behind_the_last_own_offset_is_looked_at(results: Span, looked_at: Span | None) -> None:
    expected = {} if looked_at is None else {"results": looked_at}
    assert stock(last(output("3-a/1")), results).to_read() == expected


def test_where_nothing_is_expected_the_marker_of_the_last_commit_is_not_worth_a_look() -> None:
    assert stock(last(), Span(0, 42)).to_read() == {}
    assert stock(last(), Span(0, 43)).to_read() == {"results": Span(41, 43)}


def test_a_log_that_begins_looks_at_nothing_that_was_there_before() -> None:
    begun = stock(None, Span(0, 10_000_000))
    assert (begun.to_read(), begun.missing) == ({}, [])
    assert begun.sent == {"results": 9_999_999, "partials": 40}


def test_a_topic_that_the_last_delta_did_not_know_is_taken_as_it_is() -> None:
    delta = Delta(header=Header(seq=8, incarnation=2, sent={"partials": 40}))
    assert stock(delta).to_read() == {}


@pytest.mark.parametrize("results", [Span(42, 50), Span(0, 40)], ids=["retention took them", "the topic was made anew"])
def test_what_others_deleted_is_not_written_again(results: Span) -> None:
    assert stock(last(output("3-a/1")), results).missing == []


def test_an_output_of_a_topic_that_the_file_does_not_name_any_more_is_not_missed() -> None:
    assert stock(last(output("3-a/1", "formerly"))).missing == []


def test_records_of_ours_that_the_last_delta_explains_are_fine() -> None:
    taken = stock(last(output("3-a/3"), partials=[("3-a", 1, 2, "…")]))
    taken.saw(lying(output("3-a/2", "partials")))
    taken.saw(lying(output("3-a/3")))
    taken.saw(lying(output("3-a/3")))
    assert taken.missing == []


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(Output("", "results", b"k", b"v"), id="no headers"),
        pytest.param(
            Output("", "results", b"k", b"v", headers("3-x/1", "/penstock/dev/other")), id="another pipeline's"
        ),
        pytest.param(Output("", "results", b"k", b"v", headers("4-x/1")), id="another task's"),
        pytest.param(
            dead_letter(Record("auth", 3, 9, 0, b"k", b"v", headers("3-x/1")), DeadLetter("late", ""), "results"),
            id="a dead record that was one of ours",
        ),
    ],
)
def test_records_of_others_say_nothing(foreign: Output) -> None:
    taken = stock(last())
    taken.saw(lying(foreign))
    assert taken.missing == []


def test_a_result_of_ours_that_no_delta_explains_means_that_the_log_lost_its_end() -> None:
    with pytest.raises(Damaged, match=r"^results/3@45: 3-b/1 was written after the last entry of the log \(seq 8\)"):
        stock(last(output("3-a/1"))).saw(lying(output("3-b/1"), 45))


def shown(identity: str, *, case: bytes, gone: bool = False) -> Output:
    return Output(identity, "open", case, None if gone else identity.encode(), headers(identity))


def compacted(*outputs: Output) -> Stock:
    """Of a last delta with these on a compacted topic."""
    layout = Layout("dev", "watch", {"auth": "earliest"}, frozenset({"results", "open"}), compacted=frozenset({"open"}))
    delta = Delta(header=Header(seq=8, incarnation=2, sent={"open": 40}), outputs=list(outputs))
    return Stock(layout, 3, delta, {"open": Span(0, 50), "results": Span(0, 1)})


def test_what_a_compacted_topic_has_replaced_is_not_missing() -> None:
    """Written again behind its tombstone it would be the case again."""
    final, gone, other = shown("3-a/1", case=b"A"), shown("3-a/gone", case=b"A", gone=True), shown("3-b/1", case=b"B")
    taken = compacted(final, gone, other)
    taken.saw(lying(gone, 43))
    assert taken.missing == [other]


def test_of_a_torn_commit_what_comes_later_under_a_key_is_missing_on_a_compacted_topic_too() -> None:
    final, gone = shown("3-a/1", case=b"A"), shown("3-a/gone", case=b"A", gone=True)
    taken = compacted(final, gone)
    taken.saw(lying(final))
    assert taken.missing == [gone]
    assert compacted(final, gone).missing == [final, gone]


def test_what_went_to_any_partition_is_written_again_without_being_looked_for() -> None:
    moved = Output("auth/3@7", "between", b"k", b"v", (("penstock-origin", b"[3,7,0]"),), "key")
    mark, letter = Output("mark/3@8", "between", None, b"", (), "all"), output("auth/3@8")
    taken = stock(last(moved, letter, mark))
    assert "between" not in taken.to_read()
    taken.saw(lying(letter))
    assert taken.missing == [moved, mark]
