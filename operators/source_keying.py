"""What of a source the state under its keys rests on: how a key and a time are read. When it changes, state cannot follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from penstock.operators.expression import Scope
from penstock.operators.expression_check import expand
from penstock.operators.expression_parse import parse
from penstock.operators.expression_tree import Member, Name, Node, canonical, walk
from penstock.operators.timestamp import TimeSettings


def key_text(key: str | tuple[str, ...] | None, derive: Mapping[str, str], scope: Scope) -> str:
    """Equal texts mean equal keys."""
    if key is None:
        return "the record's key"
    if isinstance(key, str):
        return _text([key], derive, scope)
    return f"[{_text(key, derive, scope)}]"


def time_text(time: TimeSettings | None, derive: Mapping[str, str], scope: Scope) -> str:
    """Equal texts mean equal times."""
    if time is None:
        return "the record's timestamp"
    unit = f" in {time.unit}" if time.unit is not None else ""
    layout = f" as {time.layout!r}" if time.layout is not None else ""
    zone = f" in {time.zone}" if time.zone is not None else ""
    return f"{_text([time.at], derive, scope)}{unit}{layout}{zone}"


def _text(expressions: Sequence[str], derive: Mapping[str, str], scope: Scope) -> str:
    """Definitions are written out, and behind them the derived fields that are read, in the order of the file."""
    trees = [expand(parse(text), scope) for text in expressions]
    read = {name for tree in trees for name in _fields(tree)}
    derived: list[str] = []
    for name, text in reversed(list(derive.items())):
        if name in read:
            tree = expand(parse(text), scope)
            read.update(_fields(tree))
            derived.insert(0, f"event.{name} = {canonical(tree)}")
    where = f" where {', '.join(derived)}" if derived else ""
    return ", ".join(map(canonical, trees)) + where


def _fields(tree: Node) -> Iterator[str]:
    for node in walk(tree):
        match node:
            case Member(of=Name(name="event"), name=name):
                yield name
