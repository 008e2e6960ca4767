"""What is looked at after every story can fail: here on what no story has shown."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from tests.simulation.bill import check_calls
from tests.simulation.calls import WatchedCall
from tests.simulation.chronicle import Chronicle, Commit, Written
from tests.simulation.cluster import Cluster
from tests.simulation.invariants import check_commits, check_deference, check_handovers, check_rest, check_results
from tests.simulation.messages import Record, Sent, SentBatch
from tests.simulation.settings import BrokerSettings

from penstock.connectors.port import Layout
from penstock.operators.record import Output
from penstock.state.delta import Delta, Header, Position

LAYOUT = Layout("t", "p", {"in": "earliest"}, frozenset({"results"}))
LOG = Record("t.p.log", 0, 0, 0, b"delta", b"", ())


def result(run: str, offset: int, **changes: Any) -> dict[str, Any]:
    why = {"fired_by": f"in/0@{offset}"}
    return {
        "run": run, "rev": 1, "attempt": 1, "state": "final", "key": "k", "agent": "judge", "answer": {}, "text": None,
        "degraded": [], "why": why, **changes,
    }  # fmt: skip


def chronicle(*deltas: Delta, told: tuple[Output, ...] = ()) -> Chronicle:
    """One second from one to the next; all outputs were committed with the first."""
    found = Chronicle(Cluster(BrokerSettings(), Random(1)), LAYOUT, 0)
    commits = [Commit(float(at), [Written(at - 0.2, LOG)], [], [delta]) for at, delta in enumerate(deltas, start=1)]
    commits[0].told = [Written(0.9, Record(each.topic, 0, 0, 0, each.key, each.value, ())) for each in told]
    found.commits = [commits]
    return found


def header(seq: int, **changes: Any) -> Header:
    said = {"seq": seq, "incarnation": 1, "kind": "delta" if seq else "opened", "owner": "a", **changes}
    return Header(**said)


def deltas(*headers: Header) -> Chronicle:
    return chronicle(*(Delta(header=each) for each in headers))


WRONG_LOGS: list[tuple[str, Callable[[], Chronicle]]] = [
    ("began at seq 1", lambda: deltas(header(1))),
    ("seq 2 was committed after 0", lambda: deltas(header(0), header(2))),
    ("incarnation after 1", lambda: deltas(header(0), header(1, incarnation=3, kind="opened"))),
    ("is delta, of incarnation 2", lambda: deltas(header(0), header(1, incarnation=2))),
    ("after the task was released", lambda: deltas(header(0), header(1, kind="released"), header(2))),
    ("b goes on with what a opened", lambda: deltas(header(0), header(1, owner="b"))),
    ("processing time went back", lambda: deltas(header(0, tick=5), header(1, tick=4))),
    (
        "the position of in went back",
        lambda: deltas(header(0, positions={"in": Position(7)}), header(1, positions={"in": Position(6)})),
    ),
    ("not committed with it", lambda: chronicle(Delta(header=header(0), outputs=[Output("1", "results", None, b"1")]))),
    ("besides 0 partials", lambda: chronicle(Delta(header=header(0)), told=(Output("1", "results", None, b"1"),))),
]


@pytest.mark.parametrize(("what", "wrong"), WRONG_LOGS, ids=[what for what, _ in WRONG_LOGS])
def test_a_log_that_cannot_be_is_noticed(what: str, wrong: Callable[[], Chronicle]) -> None:
    with pytest.raises(AssertionError, match=what):
        check_commits(wrong())


def test_an_older_process_that_takes_a_definition_back_is_noticed() -> None:
    newer = header(0, started=9, definition="new")
    with pytest.raises(AssertionError, match="a takes back the newer definition of a"):
        check_deference(deltas(newer, header(1, started=8, definition="old")))
    check_deference(deltas(newer, header(1, started=10, definition="old"), header(2, started=8, definition="old")))


def test_a_second_outcome_is_noticed() -> None:
    with pytest.raises(AssertionError, match="told twice: \\['a'\\]"):
        check_results([result("a", 1), result("a", 1)], [])


def test_outcomes_of_one_key_out_of_order_are_noticed() -> None:
    with pytest.raises(AssertionError, match="by 1 comes after that by 2"):
        check_results([result("a", 2), result("b", 1)], [])
    check_results([result("a", 2), result("b", 1, key="other"), result("c", 1, agent=None)], [])


def test_a_revision_that_takes_back_what_was_told_is_noticed() -> None:
    partial = result("a", 1, state="partial", answer={"verdict": "attack"})
    with pytest.raises(AssertionError, match="does not say what its attempt had said before"):
        check_results([], [partial, result("a", 1, rev=2, answer={"verdict": "benign"})])


def test_a_transaction_that_is_open_at_rest_is_noticed() -> None:
    cluster = Cluster(BrokerSettings(), Random(1))
    cluster.create("results", 1)
    found = cluster.topics.find(TopicPartition("results", 0))
    assert found is not None
    found.log.append(SentBatch([Sent(0, None, b"", ())], 10, 0), 1_000, 0, 1.0, transactional=True)
    with pytest.raises(AssertionError, match="results/0 can be read to 0 of 1"):
        check_rest(cluster, ["results"], 1)


def call(begun: float, owner: str = "a", finished: float | None = None) -> WatchedCall:
    return WatchedCall(owner, "0-run", 1, (), begun, finished)


def opened(*owners: str, outcome: bool = False) -> Chronicle:
    """The task is opened every second; with the first one its only run has its outcome."""
    output = Output("0-run/1", "results", None, b"1", (("ce_source", b"/penstock/t/p"), ("ce_id", b"0-run/1")))
    headers = (header(seq, incarnation=seq + 1, kind="opened", owner=owner) for seq, owner in enumerate(owners))
    first, *others = (Delta(header=each) for each in headers)
    return chronicle(Delta(header=first.header, outputs=[output] if outcome else []), *others)


def test_a_task_that_was_taken_from_somebody_at_work_is_noticed() -> None:
    with pytest.raises(AssertionError, match="seq 1: b took it from a, which was at work"):
        check_handovers([], opened("a", "b"))
    check_handovers([], deltas(header(0), header(1, kind="released"), header(2, kind="opened", incarnation=2)))


def test_an_answer_that_was_paid_for_twice_where_nothing_went_wrong_is_noticed() -> None:
    with pytest.raises(AssertionError, match="1 answers were paid for twice"):
        check_handovers([call(1.5), call(2.5, "b")], deltas(header(0)))


WRONG_CALLS: list[tuple[str, list[WatchedCall], Chronicle]] = [
    ("before `opened` was committed", [call(0.5)], opened("a")),
    ("b has had the task since 2.000", [call(4.5)], opened("a", "b")),
    ("was paid 2 times, for 0 openings", [call(1.5), call(1.7)], opened("a")),
    ("again by a, which had the answer", [call(1.5, finished=1.6), call(3.5)], opened("a", "b", "a")),
    ("when its outcome was long committed", [call(3.5)], opened("a", outcome=True)),
    ("that had read its outcome", [call(2.5, "b")], opened("a", "b", outcome=True)),
]


@pytest.mark.parametrize(("what", "calls", "logs"), WRONG_CALLS, ids=[what for what, *_ in WRONG_CALLS])
def test_a_call_that_should_not_have_been_made_is_noticed(what: str, calls: list[WatchedCall], logs: Chronicle) -> None:
    with pytest.raises(AssertionError, match=what):
        check_calls(calls, logs)


def test_a_call_may_be_paid_again_after_the_task_was_opened_anew() -> None:
    check_calls([call(1.5), call(2.5, "b", finished=2.6)], opened("a", "b"))
