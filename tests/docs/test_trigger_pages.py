"""Every kind of trigger has its page, which says all that can be written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.operators.trigger_kinds import KINDS

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMON = {"labels", "annotations", "agent", "from", "inhibited_by", "limit", "priority", "sample"}
"""What triggers.md and triggers/gates.md say for all kinds."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_kind_has_every_field_a_drawing_and_an_example(kind: str) -> None:
    page = (DOCS / "triggers" / f"{kind}.md").read_text(encoding="utf-8")
    fields = {field.alias or name for name, field in KINDS[kind].settings.model_fields.items()}
    assert fields - COMMON <= set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert re.search(r"^```\n.*?^```$", page, re.MULTILINE | re.DOTALL)
    assert "```yaml\n" in page


def test_the_page_on_triggers_leads_to_every_kind_and_to_what_is_common() -> None:
    page = (DOCS / "triggers.md").read_text(encoding="utf-8")
    assert [word for word in (*KINDS, "gates") if f"(triggers/{word}.md)" not in page] == []
