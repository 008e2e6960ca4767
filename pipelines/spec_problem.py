"""What pydantic found wrong, said in the words of the file and at the place in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Listed
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from penstock.operators.answer_schema import AnswerError
from penstock.operators.decode import excerpt
from penstock.operators.trigger_kinds import TRIGGERS
from penstock.pipelines.document import (
    Map,
    Node,
    Path,
    Scalar,
    Sequence,
    child,
    children,
    key_place,
    kind_of,
    node_at,
    place_of,
)
from penstock.pipelines.problem import Code, Place, Problem, nearest_name
from penstock.pipelines.shape import fields_of, parts
from penstock.pipelines.spec import Spec
from penstock.pipelines.trigger_choice import kind_word

_KEY = "[key]"
_EXPECTED: Mapping[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
    "list_type": "a list",
    "tuple_type": "a list",
    "union_tag_invalid": "a map",
    "union_tag_not_found": "a map",
}
_BOUNDS: Mapping[str, str] = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
}


def spec_problems(error: ValidationError, root: Map, whole: Map, settings: type[BaseModel] = Spec) -> list[Problem]:
    """One problem per mistake. What the branches of a union say about the same value becomes one sentence; a field that is
    missing because its name is misspelt is one mistake.

    `root` is what was validated; `whole` is the file before words of later versions were taken out: that something is
    missing because of this is no news. `settings` is what the file should have been.
    """
    names = {part.path: part.field_names for part in parts(settings, root)}
    by_path: dict[tuple[Path, bool], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        path, missing = _path(root, details)
        if _was_taken_out(whole, path, missing, details):
            continue
        by_path.setdefault((path, missing), []).append(details)
    deepest = [
        (path, missing, found) for (path, missing), found in by_path.items()
        if not _explained_below(path, missing, found, list(by_path), node_at(root, path))
    ]  # fmt: skip
    problems = {(path, missing): _problem(root, path, missing, found, names) for path, missing, found in deepest}
    meant = {(*path[:-1], problem.nearest) for (path, missing), problem in problems.items() if not missing}
    return [problem for (path, missing), problem in problems.items() if not (missing and path in meant)]


def _was_taken_out(whole: Map, path: Path, missing: bool, details: ErrorDetails) -> bool:
    before = node_at(whole, path)
    if missing:
        return before is not None
    return details["type"] == "too_short" and isinstance(before, Map) and bool(before.entries)


def _path(root: Map, details: ErrorDetails) -> tuple[Path, bool]:
    """Path in the file, and whether its last step is a field that is missing there."""
    location: Path = details["loc"]
    if details["type"] == "missing":
        return (*_steps(root, location[:-1]), location[-1]), True
    return tuple(_steps(root, location)), False


def _steps(node: Node, location: Path) -> list[str | int]:
    """The steps that lead somewhere: pydantic puts the names of union members in between, which stand in no file."""
    if not location:
        return []
    below = child(node, location[0])
    kept = [location[0], *_steps(below, location[1:])] if below is not None else []
    dropped = _steps(node, location[1:])
    return kept if len(kept) > len(dropped) else dropped


def _explained_below(
    path: Path, missing: bool, found: Listed[ErrorDetails], all_paths: Listed[tuple[Path, bool]], node: Node | None
) -> bool:
    """A map or a list that fits another branch of a union: what is wrong inside of it says more than "expected text"."""
    wrong_kind = not missing and all(details["type"] in _EXPECTED for details in found)
    return (
        wrong_kind
        and isinstance(node, Map | Sequence)
        and any(len(p) > len(path) and p[: len(path)] == path for p, _ in all_paths)
    )


def _problem(
    root: Map, path: Path, missing: bool, found: Listed[ErrorDetails], names: Mapping[Path, list[str]]
) -> Problem:
    details = found[0]
    if missing:
        return _missing(root, path)
    if details["type"] == "extra_forbidden":
        return _unknown(root, path, names.get(path[:-1], []))
    reason = _reason(details)
    if isinstance(reason, AnswerError):
        below = tuple(step for step in reason.path.removesuffix("[]").split(".") if step)
        return Problem(Code.ANSWER_SCHEMA, key_place(root, (*path, *below)), str(reason))
    if details["loc"][-1:] == (_KEY,):
        return Problem(Code.WRONG_VALUE, key_place(root, path), _sentence(details))
    return _wrong(root, path, found)


def _missing(root: Map, path: Path) -> Problem:
    place = key_place(root, path[:-1]) if len(path) > 1 else root.place
    return Problem(Code.MISSING_FIELD, place, f"{_name(path[:-1])} lacks `{path[-1]}`")


def _unknown(root: Map, path: Path, names: Listed[str]) -> Problem:
    """Of a union, `names` holds what any of its members has: what another one has is not offered again."""
    name = str(path[-1])
    if (why := _refusal(root, path)) is not None:
        return Problem(Code.UNKNOWN_FIELD, key_place(root, path), why)
    names = [known for known in dict.fromkeys(names) if known != name]
    expected = f"one of {', '.join(names)}" if names else None
    message = f'unknown field "{name}"{_of_other_kinds(root, path)}'
    return Problem(
        Code.UNKNOWN_FIELD, key_place(root, path), message, expected=expected, nearest=nearest_name(name, names)
    )


def _refusal(root: Map, path: Path) -> str | None:
    """Why a kind of trigger does not take a field that one might expect of it."""
    trigger = node_at(root, path[:-1])
    word = kind_word(trigger.entries) if path[:-2] == ("triggers",) and isinstance(trigger, Map) else None
    why = None if word is None else TRIGGERS[word].refused.get(str(path[-1]))
    return None if why is None else f"`{word}` takes no `{path[-1]}`: {why}"


def _of_other_kinds(root: Map, path: Path) -> str:
    """Which kinds of triggers have the field, if it stands in a trigger of a kind that has not."""
    trigger = node_at(root, path[:-1])
    if path[:-2] != ("triggers",) or not isinstance(trigger, Map):
        return ""
    kinds = [f"`{word}`" for word, settings in TRIGGERS.items() if path[-1] in fields_of(settings)]
    return f" of `{kind_word(trigger.entries)}`: it goes with {_listed(kinds)}" if kinds else ""


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _wrong(root: Map, path: Path, found: Listed[ErrorDetails]) -> Problem:
    node = node_at(root, path)
    place = _value_place(root, path)
    name = _name(path)
    kinds = list(dict.fromkeys(_kinds(found)))
    if kinds:
        message = f"{name} is {_quoted(node)}"
        return Problem(Code.WRONG_VALUE, place, message, expected=" or ".join(kinds), nearest=_near(node, kinds))
    telling = next((details for details in found if _reason(details) is not None), found[0])
    return Problem(Code.WRONG_VALUE, place, f"{name}: {_sentence(telling)}")


def _near(node: Node | None, kinds: Listed[str]) -> str | None:
    """A word that was misspelt; a number is near to no sentence about numbers."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or node.text in kinds:
        return None
    return nearest_name(node.text, kinds)


def _name(path: Path) -> str:
    if not path:
        return "the file"
    return f"item {path[-1] + 1} of `{path[-2]}`" if isinstance(path[-1], int) else f"`{path[-1]}`"


def _kinds(found: Listed[ErrorDetails]) -> Iterator[str]:
    """What the value should have been, where that is a kind or one of a few words; nothing if a sentence says more."""
    if any(details["type"] not in {*_EXPECTED, *_BOUNDS, "literal_error"} for details in found):
        return
    for details in found:
        if details["type"] == "literal_error":
            yield from _words(details["ctx"]["expected"])
        elif details["type"] in _BOUNDS:
            yield _BOUNDS[details["type"]].format(**details["ctx"])
        else:
            yield _EXPECTED[details["type"]]


def _words(expected: str) -> list[str]:
    """pydantic's `'a', 'b' or True` as a list, in the spelling of YAML."""
    words = [word.strip() for word in expected.replace(" or ", ", ").split(", ")]
    return [word.strip("'") if word.startswith("'") else word.lower() for word in words]


def _quoted(node: Node | None) -> str:
    if isinstance(node, Scalar) and node.value is not None and not node.secret:
        return excerpt(node.text) if isinstance(node.value, str) else node.text
    is_empty = isinstance(node, Map | Sequence) and not any(children(node))
    return "empty" if is_empty else kind_of(node)


def _value_place(root: Map, path: Path) -> Place:
    node = node_at(root, path)
    return place_of(root, path) if isinstance(node, Scalar) else key_place(root, path)


def _sentence(details: ErrorDetails) -> str:
    """The sentence of our own validators as it is; pydantic's without its prefix."""
    reason = _reason(details)
    if reason is not None:
        return str(reason)
    message = details["msg"]
    return message[:1].lower() + message[1:]


def _reason(details: ErrorDetails) -> Exception | None:
    """The exception that a validator of ours raised."""
    context: Mapping[str, Any] = details.get("ctx") or {}
    reason = context.get("error")
    return reason if isinstance(reason, Exception) else None
