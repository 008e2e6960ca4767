"""Everything that can go wrong, by what the reader should do about it.

    PenstockError                     what, where, what to do: one sentence, never a bare traceback
    ├── Rejected          exit 1      the file, the data or a gate says no: mend it
    ├── Misused           exit 2      the command line asks for something that there is not: correct it
    ├── Unreachable       exit 3      the outside world is not there or not as needed: a retry may help
    │   └── Unanswered                nobody answers there: it may only be starting, so waiting may be all that it takes
    ├── StateRefused      exit 4      going on would damage state: page somebody
    │   ├── Damaged                   the log has a hole, a wrong checksum, or lies behind its outputs
    │   ├── TooNew                    the log was written by a newer Penstock
    │   └── Superseded                somebody else runs under this name, or the definition cannot follow the state
    └── Lost                          this process no longer owns the task: drop it, open it again from its log
        ├── NotOurs                   it was given to somebody else
        ├── Declined                  a newer deployment has it: leave it alone for a while
        ├── Fenced                    somebody opened it after us
        ├── Indefinite                a commit's outcome is unknown; the log will say
        └── Stuck                     it has work, and nothing was committed for a minute

    Refused                           one output will never be accepted (too large): becomes a dead letter, not a loop
    ModelError                        a model call ended without a usable answer
    ├── Busy                          the endpoint asked us to wait (429, 503): not a failure of the run
    ├── CallFailed                    the connection broke or the server answered 5xx: worth a retry
    ├── CallInvalid                   the server refused the request (4xx): the same request never helps
    └── TimedOut                      the deadline passed

Bad *data* is a value (`record.DeadLetter`), never an exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from penstock.operators.record import Output


class PenstockError(Exception):
    """A sentence for a person. `where` names the file, topic or address; `remedy` says what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where, remedy)
        self.what, self.where, self.remedy = what, where, remedy

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} ({self.remedy})" if self.remedy else head


class Rejected(PenstockError):
    """The file, the data or a gate says no."""


class Misused(PenstockError):
    """An option or an argument has a value that it cannot have. `where` is its name, `remedy` what it may be."""

    exit_code = 2


class Unreachable(PenstockError):
    """The outside world is missing, closed or not set up as needed; a retry may help."""

    exit_code = 3


class Unanswered(Unreachable):
    """Nobody answers. Whoever answers and is not as needed will not change while we wait: that is Unreachable only."""


class StateRefused(PenstockError):
    """Going on would damage state; a retry does not help."""

    exit_code = 4


class Damaged(StateRefused):
    """The log cannot be what this pipeline wrote: a gap in `seq`, a wrong checksum, a lost tail."""


class TooNew(StateRefused):
    """The log was written in a format that this version does not know."""


class Superseded(StateRefused):
    """Another deployment runs under this name, or the definition cannot follow the state."""


class Lost(PenstockError):
    """This process does not own the task any more, or cannot know that it does: drop it and open it again."""

    exit_code = 3


class NotOurs(Lost):
    """The task was given to another process."""


class Declined(Lost):
    """A newer deployment has worked on the task: leave it alone for `seconds`, then look again."""

    def __init__(self, what: str, *, where: str, seconds: float) -> None:
        super().__init__(what, where=where)
        self.seconds = seconds


class Fenced(Lost):
    """Another process opened the task after us; whatever we had in hand was not committed."""


class Indefinite(Lost):
    """A commit was begun and its outcome is unknown. Never re-send: the log says what happened."""


class Stuck(Lost):
    """The task has something to do, and no commit of it came through for too long."""


class Refused(Exception):
    """The transport will never accept this output; the rest of the commit was not begun."""

    def __init__(self, output: Output, reason: str) -> None:
        super().__init__(reason)
        self.output, self.reason = output, reason


class ModelError(Exception):
    """A model call ended without a usable answer."""

    retryable: ClassVar[bool] = False


class Busy(ModelError):
    """The endpoint asked us to wait. `retry_after` in seconds where the server named one."""

    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CallFailed(ModelError):
    """The connection broke, the stream was cut or the server answered 5xx."""

    retryable = True


class CallInvalid(ModelError):
    """The server refused the request; the same request will be refused again."""


class TimedOut(ModelError):
    """The deadline of the call passed."""
