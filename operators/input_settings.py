"""`sources.*.input`: what is brought into the source's topic by Penstock itself, where the topic lies in the embedded broker.

An input is a producer: it writes records, and everything behind them is as it is for a topic that somebody else fills.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from penstock.operators.setting import Settings, TextOrTexts

KINDS = ("file", "stdin")


class FileInput(Settings):
    """Files to follow."""

    path: TextOrTexts = Field(
        description="A path or a pattern (`*`, `?`, `[…]`, `**`), or a list of them; relative to where Penstock was started.",
        examples=["/var/log/auth.log"],
    )
    read_from: Literal["beginning", "end"] = Field(
        default="beginning",
        description="Where to begin in files that are there when this input runs for the first time; later ones are read whole.",
    )


def _paths_or_map(value: Any) -> str:
    return "<map>" if isinstance(value, dict | FileInput) else "<paths>"


class InputSettings(Settings):
    """Exactly one of: files to follow, standard input."""

    file: (
        Annotated[
            Annotated[TextOrTexts, Tag("<paths>")] | Annotated[FileInput, Tag("<map>")], Discriminator(_paths_or_map)
        ]
        | None
    ) = Field(default=None, description="Follow files, as `tail -F` does.", examples=["/var/log/auth.log"])
    stdin: Literal[True] | None = Field(default=None, description="The lines of standard input.")

    @model_validator(mode="after")
    def _exactly_one(self) -> InputSettings:
        named = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(named) != 1:
            raise ValueError(f"expected exactly one of {', '.join(KINDS)}, found {' and '.join(named) or 'none'}")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def followed(self) -> FileInput | None:
        """The files to follow, however they are written."""
        return self.file if self.file is None or isinstance(self.file, FileInput) else FileInput(path=self.file)
