"""The stories notice when a rule of the protocol is broken: else that they pass would mean nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from tests.simulation.mutations import MUTATIONS, UNNOTICED, catch


@pytest.fixture(autouse=True, scope="module")
def _what_the_collector_leaves_alone() -> Iterator[None]:
    """It goes over everything after each run, and hundreds of runs are played with what all other tests have left behind."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("name", list(MUTATIONS))
def test_a_broken_rule_is_noticed(name: str) -> None:
    mutation = MUTATIONS[name]
    noticed = catch(mutation)
    assert noticed.why, f"{noticed.seeds} seeds of {mutation.kind!r} have noticed nothing"
    assert mutation.sign in noticed.why


@pytest.mark.parametrize("name", list(UNNOTICED))
def test_what_is_said_to_go_unnoticed_still_does(name: str) -> None:
    """Else the table in docs/reliability/mutations.md says too little of the stories."""
    assert not catch(UNNOTICED[name]).why
