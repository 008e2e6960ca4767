"""The stories notice when a rule of the protocol is broken: else that they pass would mean nothing."""

from __future__ import annotations

import pytest
from tests.simulation.mutations import MUTATIONS, UNNOTICED, catch


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
