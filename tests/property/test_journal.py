"""Trimming by the journal never loses state: whatever is trimmed, what remains restores the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.state.delta import Bucket, Delta, Entry, Header
from penstock.state.journal import Journal

KEYS = 16
State = dict[int, int]


def apply(state: State, entry: Entry) -> State:
    """Key n is in bucket n modulo `of`; a delta sets one key to its seq."""
    if isinstance(entry, Delta):
        return state | {int(key): cells["n"] for key, cells in entry.cells.items()}
    kept = {key: value for key, value in state.items() if key % entry.of != entry.index}
    return kept | {int(key): value for key, value in entry.keys.items()}


def restore(log: list[tuple[int, Entry, int]]) -> tuple[Journal, State]:
    journal, state = Journal("log", 0), State()
    for offset, entry, incarnation in log:
        journal.restored(entry, incarnation, offset)
        state = apply(state, entry)
    journal.end_of_log(log[0][0] if log else 0)
    return journal, state


commits = st.lists(
    st.tuples(
        st.integers(0, KEYS - 1),  # the key that changes
        st.none() | st.tuples(st.integers(0, 7), st.integers(0, 3)),  # an image: index, and log2 of `of`
        st.booleans(),  # somebody opens the task before
        st.booleans(),  # the log is trimmed after
    ),
    max_size=60,
)


@given(commits)
def test_a_trimmed_log_restores_what_the_whole_one_did(
    steps: list[tuple[int, tuple[int, int] | None, bool, bool]],
) -> None:
    log: list[tuple[int, Entry, int]] = []
    state: State = {}
    journal, offset, finest, first = Journal("log", 0), 0, 1, True
    journal.end_of_log(0)

    def write(delta: Delta, images: list[Bucket]) -> None:
        nonlocal offset
        journal.check(delta, images)
        entries: list[Entry] = [delta, *images]
        log.extend((offset + i, entry, delta.header.incarnation) for i, entry in enumerate(entries))
        journal.confirmed(delta, offset, images)
        offset += 2 + len(images)

    for key, wanted, reopened, trimmed in steps:
        if first or reopened:
            journal, restored = restore(log)
            assert restored == state
            write(Delta(header=Header(seq=journal.seq + 1, incarnation=journal.incarnation + 1, kind="opened")), [])
            first = False
        seq = journal.seq + 1
        state = state | {key: seq}
        delta = Delta(header=Header(seq=seq, incarnation=journal.incarnation), cells={str(key): {"n": seq}})
        images = []
        if wanted is not None:
            of = finest = max(finest, 2 ** wanted[1])
            index = wanted[0] % of
            images = [
                Bucket(index=index, of=of, seq=seq, keys={str(k): v for k, v in state.items() if k % of == index})
            ]
        write(delta, images)
        if trimmed and (before := journal.trim_to()) is not None:
            log[:] = [each for each in log if each[0] >= before]
    if log:
        assert restore(log)[1] == state
        assert any(isinstance(entry, Delta) and entry.header.seq == journal.seq for _, entry, _ in log)
