"""Functions of the user's own, by import path: `functions: {entropy: acme.scoring:entropy}`, then `entropy(event.name)`.

They are ordinary Python, so importing them runs whatever their module runs; `penstock check` does that, too. They have to be
pure, because an event may be evaluated again after a crash: the same values in, the same value out, nothing changed.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from penstock.operators.expression import RESERVED_NAMES
from penstock.operators.expression_function import Function, function_of
from penstock.pipelines.document import Map, Scalar, key_place, matching
from penstock.pipelines.problem import Code, Problem, nearest_name

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class NoFunction(ValueError):
    """What the path names cannot be called in an expression, and why; `nearest` is the name that was probably meant."""

    def __init__(self, message: str, nearest: str | None = None) -> None:
        super().__init__(message)
        self.nearest = nearest


def imported(functions: Mapping[str, str]) -> dict[str, Function]:
    """By the names that expressions call them by. Raises NoFunction."""
    return {name: _function(name, path) for name, path in functions.items()}


def importable(root: Map) -> dict[str, Function]:
    """Those of the file that lead somewhere; what is wrong with the others, `function_problems` says."""
    found = {name: _tried(name, node.text) for name, node in _entries(root)}
    return {name: function for name, function in found.items() if isinstance(function, Function)}


def function_problems(root: Map) -> Iterator[Problem]:
    """Of every entry under `functions`: a name that means something already, a path that leads to no function."""
    defined = {path[-1] for path, _ in matching(root, "define.*")}
    for name, node in _entries(root):
        if name in RESERVED_NAMES or name in defined:
            message = f"`{name}` means something already; a function needs another name"
            yield Problem(Code.RESERVED_NAME, key_place(root, ("functions", name)), message)
        found = _tried(name, node.text)
        if isinstance(found, NoFunction):
            yield Problem(Code.NO_FUNCTION, node.place, str(found), nearest=found.nearest)


def _entries(root: Map) -> Iterator[tuple[str, Scalar]]:
    for path, node in matching(root, "functions.*"):
        if isinstance(node, Scalar):
            yield str(path[-1]), node


def _tried(name: str, path: str) -> Function | NoFunction:
    try:
        return _function(name, path)
    except NoFunction as error:
        return error


def _function(name: str, path: str) -> Function:
    called = _called(path)
    names = _parameters(called, path)
    return function_of(called, len(names), f"{name}({', '.join(names)})", path)


def _called(path: str) -> Callable[..., Any]:
    if not _PATH.fullmatch(path):
        raise NoFunction(f"{path!r} is no import path; write module:function, such as acme.scoring:entropy")
    module, _, attributes = path.partition(":")
    found = _module(module)
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise NoFunction(f"`{module}` has no `{attributes}`", nearest_name(attribute, dir(found)))
        found = getattr(found, attribute)
    if not callable(found):
        raise NoFunction(f"`{path}` is no function, it is {type(found).__name__}")
    if inspect.iscoroutinefunction(found) or inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        raise NoFunction(
            f"`{path}` is a coroutine or a generator; an expression needs a function that returns its value"
        )
    returned: Callable[..., Any] = found
    return returned


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - importing runs anything, and may fail in any way
        remedy = "it has to be installed beside Penstock, or its folder to stand in PYTHONPATH"
        raise NoFunction(f"`{name}` cannot be imported: {type(error).__name__}: {error}; {remedy}") from None


def _parameters(called: Callable[..., Any], path: str) -> list[str]:
    """Those that an expression has to give: optional ones keep their defaults."""
    try:
        parameters = inspect.signature(called).parameters.values()
    except ValueError:
        raise NoFunction(f"`{path}` does not tell its parameters; put a function with named ones around it") from None
    needed = [each for each in parameters if each.default is each.empty]
    unfit = next((each.name for each in needed if each.kind not in _POSITIONAL), None)
    if unfit is not None or not needed:
        found = "has none" if unfit is None else f"has `{unfit}`"
        raise NoFunction(f"`{path}` has to take a fixed number of values, at least one, by position; it {found}")
    return [each.name for each in needed]
