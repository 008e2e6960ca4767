"""What becomes of an answer that was being given when its task was lost: continued, or asked for anew as another attempt.

    its text so far is committed, and is not blank           ┐
    it answers the same question: equal `call_id` (rule 11)  │ all of these: the stream goes on where it stopped,
    its endpoint can be given the beginning of an answer     │ in the same attempt
    it is free text, and nothing constrains it               │
    it is not being thought aloud                            ┘ one is missing: a new attempt

An answer with fields is never continued: the grammar that holds a server to them would begin afresh behind the text so far,
and a whole second answer would follow it. Nor is one that thinks aloud: chat templates cut the thoughts out of a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.operators.agent_plan import AgentPlan
from penstock.operators.answer import thinks_aloud
from penstock.operators.run import Run, call_id

Continues = Callable[[str, str], bool]
"""Whether (endpoint, question) may be continued: what the process knows of its model servers, and of answers it has kept."""

_CONSTRAINTS = ("guided_", "structured_outputs", "structural_tag", "tools")
"""Parameters of `request:` by which vLLM constrains what is generated begin so."""


def never(endpoint: str, question: str) -> bool:
    """Every stream that was cut off begins afresh."""
    return False


def begun_text(run: Run) -> str:
    """What the call under way was given as the beginning of its answer.

    Without the space behind it: many templates would cut it off, and models say it again with the next word.
    """
    return run.streamed[: run.continued].rstrip()


def is_continued(run: Run, agent: AgentPlan, question: Callable[[], str], continues: Continues) -> bool:
    """The table above, for a run that was just restored. `question` works out what would be asked now; a prompt is long."""
    endpoint = agent.endpoints[run.endpoint]
    if not run.streamed.strip() or thinks_aloud(run.streamed):
        return False
    if agent.shape is not None or _constrained(endpoint.parameters):
        return False
    asked = question()
    return run.call_id == call_id(asked, run.attempt) and continues(endpoint.name, asked)


def _constrained(parameters: Mapping[str, Any]) -> bool:
    return any(name.startswith(_CONSTRAINTS) for name in parameters)
