"""What a run did, as one number: a digest over every request and answer with its time, and over what was told at the end.

python -m tests.simulation.trace SEED …      prints one digest per seed
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from typing import Any

from tests.simulation.stories import eventful
from tests.simulation.world import Story, World


class Tracer:
    """`network.trace`; with `lines` it keeps what it saw, for a person who looks for the first difference."""

    def __init__(self, *, lines: bool = False) -> None:
        self._digest = blake2b(digest_size=16)
        self.lines: list[str] | None = [] if lines else None

    def __call__(self, now: float, way: str, message: Any) -> None:
        line = f"{now!r} {way} {message!r}"
        self._digest.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    def digest(self) -> str:
        return self._digest.hexdigest()


def digest_of(story: Story, tracer: Tracer | None = None) -> str:
    tracer = tracer or Tracer()
    world = World(story)
    world.network.trace = tracer
    told = world.play()
    tracer(world.loop.time(), "told", (told.results, told.revisions))
    return tracer.digest()


def main() -> None:
    for seed in sys.argv[1:]:
        sys.stdout.write(f"{digest_of(eventful(int(seed)))}\n")


if __name__ == "__main__":
    main()
