"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[Path, typer.Argument(help="The pipeline's file.", show_default=False)]
Overlays = Annotated[
    list[Path] | None, typer.Option("-f", "--overlay", help="A file laid over it; may be repeated.", show_default=False)
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="One value on top.", show_default=False)
]
EnvFile = Annotated[Path | None, typer.Option("--env-file", help="Variables for ${…}, as NAME=value lines.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
BrokerUrl = Annotated[
    str,
    typer.Option(
        "--broker", envvar="PENSTOCK_BROKER", help="kafka (as the file says), or sqlite:PATH: topics in one file."
    ),
]
