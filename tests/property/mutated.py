"""Files as they look after somebody leaned on the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from hypothesis import strategies as st

from penstock.pipelines.scenario_file import is_scenario_file

EXAMPLES = Path(str(files("penstock.pipelines").joinpath("examples")))


def example_texts(*, scenarios: bool) -> list[str]:
    """The examples, or their scenarios."""
    paths = [path for path in sorted(EXAMPLES.glob("*.yaml")) if is_scenario_file(path) is scenarios]
    return [path.read_text(encoding="utf-8") for path in paths]


TEXTS = example_texts(scenarios=False) + example_texts(scenarios=True)
WORDS = sorted({word for text in TEXTS for word in text.split()} | set("{}[],:&*!|>'\"%@`#?-\t\n\r\0\\$"))
WORDS += [
    "${",
    "${X}",
    "${file:/dev/null}",
    "$$",
    "!!str ",
    "<<: ",
    "\n---\n",
    "&a ",
    "*a",
    "null",
    "- ",
    "{{ ",
    "{% ",
    "\x85",
]
Change = Callable[[str], str]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    kind = draw(st.sampled_from(["insert", "delete", "replace_word", "swap_lines", "repeat_line", "indent"]))
    where, length = draw(st.floats(0, 1)), draw(st.integers(1, 40))
    inserted = draw(st.sampled_from(WORDS) | st.text(max_size=8))
    return lambda text: changed(text, kind, int(where * len(text)), length, inserted)


def changed(text: str, kind: str, at: int, length: int, inserted: str) -> str:
    match kind:
        case "insert":
            return text[:at] + inserted + text[at:]
        case "delete":
            return text[:at] + text[at + length :]
        case "replace_word":
            begin = text.rfind(" ", 0, at) + 1
            end = text.find(" ", at)
            return text[:begin] + inserted + text[end if end >= 0 else len(text) :]
    lines = text.split("\n")
    number = text.count("\n", 0, at)
    other = (number + length) % len(lines)
    match kind:
        case "swap_lines":
            lines[number], lines[other] = lines[other], lines[number]
        case "repeat_line":
            lines.insert(other, lines[number])
        case _:
            lines[number] = " " * (length % 9) + lines[number].lstrip()
    return "\n".join(lines)
