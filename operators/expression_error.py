"""What is wrong with an expression, and at which character."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple


class Place(NamedTuple):
    """A character of the text that is being compiled (from 0).

    What stands inside a definition is placed where the outer text names it; `define` is then the definition's name.
    """

    offset: int
    define: str = ""


class ExpressionError(ValueError):
    """The text is no expression, or none that may stand here.

    `offset` counts characters from 0 and is at most the length of the text; `hint` is the name that was probably meant;
    `define` is the definition that holds the mistake, None if the text itself does.
    """

    def __init__(self, message: str, place: Place, hint: str | None = None) -> None:
        self.message = f"in the definition of `{place.define}`: {message}" if place.define else message
        self.offset = place.offset
        self.define = place.define or None
        self.hint = hint
        super().__init__(f"{self.message}; did you mean `{hint}`?" if hint else self.message)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, or None."""
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.7)
    return close[0] if close else None
