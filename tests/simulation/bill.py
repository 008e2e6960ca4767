"""What was asked of the model, held against what was committed: nothing is asked without a right, or again without a reason.

opened ──▶ call ─────────── call again ──▶ outcome committed ──▶ no call any more
by the caller (10)   an owner opened the task in between,
                     and the answer was not there yet in this process (11)
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.simulation.calls import WatchedCall
from tests.simulation.chronicle import Chronicle, Commit

from penstock.operators.result import identity_of

LATE_SECONDS = 2.0
"""Whoever loses a task while its lease is alive learns that by the next answer of the group, or of its fence."""


class Opening(NamedTuple):
    at: float
    owner: str


def check_calls(calls: Iterable[WatchedCall], chronicle: Chronicle) -> None:
    openings = [_openings(commits) for commits in chronicle.commits]
    outcomes = {run: at for commits in chronicle.commits for run, at in _outcomes(commits)}
    by_question: dict[object, list[WatchedCall]] = defaultdict(list)
    for call in calls:
        _check_right(call, openings[call.partition])
        by_question[call.question].append(call)
    for asked in by_question.values():
        _check_repaid(asked, openings[asked[0].partition], outcomes.get(asked[0].run))


def _openings(commits: Iterable[Commit]) -> list[Opening]:
    deltas = ((commit.at, commit.delta) for commit in commits)
    return [
        Opening(at, delta.header.owner) for at, delta in deltas if delta is not None and delta.header.kind == "opened"
    ]


def _outcomes(commits: Iterable[Commit]) -> Iterable[tuple[str, float]]:
    """Runs and when the delta was committed that carried their outcome; what `opened` completes was carried before."""
    seen: set[str] = set()
    for commit in commits:
        for output in commit.delta.outputs if commit.delta is not None else ():
            identity = identity_of(output.headers)
            run = "" if identity is None else identity[1].rpartition("/")[0]
            if run and run not in seen:
                seen.add(run)
                yield run, commit.at


def _check_right(call: WatchedCall, openings: Sequence[Opening]) -> None:
    """Protocol rules 9 and 10: the caller has opened the task before, and nobody else since, or just now."""
    known = [opening for opening in openings if opening.at <= call.begun]
    assert any(opening.owner == call.owner for opening in known), (
        f"{_name(call)} was asked before `opened` was committed"
    )
    since = [opening for opening in known if opening.at < call.begun - LATE_SECONDS]
    own = max(opening.at for opening in known if opening.owner == call.owner)
    others = [opening for opening in since if opening.at > own]
    assert not others, f"{_name(call)} was asked although {others[0].owner} has had the task since {others[0].at:.3f}"


def _check_repaid(asked: Sequence[WatchedCall], openings: Sequence[Opening], outcome: float | None) -> None:
    """Protocol rules 10 and 11. A call may be paid again for every time that the task was opened while it had no outcome."""
    last = asked[-1]
    if outcome is not None:
        assert last.begun <= outcome + LATE_SECONDS, f"{_name(last)} was asked when its outcome was long committed"
        late = [call for call in asked if call.begun > outcome and _opened_by(call, openings) > outcome]
        assert not late, f"{_name(late[0])} was asked by an owner that had read its outcome in the log"
    paid = [call for call in asked if not call.failed]
    began = min(_opened_by(call, openings) for call in asked)
    excuses = [each for each in openings if began < each.at <= last.begun]
    assert len(paid) <= 1 + len(excuses), f"{_name(last)} was paid {len(paid)} times, for {len(excuses)} openings"
    for before, again in itertools.pairwise(asked):
        had_it = before.owner == again.owner and before.finished is not None
        assert not had_it, f"{_name(again)} was asked again by {again.owner}, which had the answer"


def _opened_by(call: WatchedCall, openings: Iterable[Opening]) -> float:
    return max(each.at for each in openings if each.owner == call.owner and each.at <= call.begun)


def _name(call: WatchedCall) -> str:
    return f"call {call.run}.{call.attempt} of {call.owner} at {call.begun:.3f}"
