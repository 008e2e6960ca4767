"""Following files as `tail -F` does: what was added, through rotation and truncation, with positions that can be kept.

    auth.log   ▒▒▒▒▒▒▒▒░░░░░        ▒ read      ░ added: goes into the next portion, up to its last line end
        │ renamed: auth.log.1       still open: what is added is read, for GRACE_SECONDS
        ▼
    auth.log   ░░░                  another inode: read from its beginning, behind the rest of the old one

    shorter than what was read, or with something else before the position: emptied, and read from its beginning

Nothing here waits or writes: `lap` looks at every file once. A portion holds lines and the marks that go with them: who writes
both in one transaction can be killed at any moment. What is not there when we look never was there for us: what `copytruncate`
cuts off before it was read, or a file that came and went while nobody looked.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import glob, has_magic
from typing import NamedTuple

from penstock.connectors.file_position import PROOF_BYTES, bytes_before, decoded, encoded, known_position
from penstock.connectors.lines import LINE_BYTES_MAX, cut_lines, is_header

GRACE_SECONDS = 5.0
"""A file that was rotated away is read for so long after its last line: its writer has it open still."""
PORTION_BYTES = 256 << 10
BEGUN = "begun"
"""The mark which says that this input has run before."""
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""Patterns do not mean these: they hold what was read before."""

_log = logging.getLogger(__name__)
Identity = tuple[int, int]
"""Device and inode."""


class Portion(NamedTuple):
    """Lines of one file, and the marks as they are when the lines are written."""

    lines: Sequence[bytes] = ()
    put: Mapping[str, bytes] = {}
    drop: Sequence[str] = ()


class Followed:
    """One file, held open: it may be renamed or deleted meanwhile. `name` is that of its mark."""

    def __init__(self, path: str, handle: int, name: str) -> None:
        self.path, self.handle, self.name = path, handle, name
        self.offset, self._before, self._skipping = 0, b"", False
        self.quiet_since: float | None = None
        """Since when its path has not led to it and nothing was added; None: it is where it belongs."""

    def resume(self, offset: int, before: bytes, *, skipping: bool) -> None:
        self.offset, self._before, self._skipping = offset, before, skipping

    def skip_to_end(self) -> None:
        """Of a line that is being written now, nothing is read."""
        end = os.fstat(self.handle).st_size
        before = bytes_before(self.handle, end)
        self.resume(end, before, skipping=not before.endswith(b"\n") and end > 0)

    def mark(self) -> bytes:
        return encoded(os.path.realpath(self.path), self.offset, self._before, self._skipping)

    def portions(self) -> Iterator[Portion]:
        """What is there now. A file that grows meanwhile does not keep the others waiting."""
        end = os.fstat(self.handle).st_size
        while (portion := self.portion()) is not None:
            yield portion
            if self.offset >= end:
                return

    def portion(self, *, last: bool = False) -> Portion | None:
        """None: no whole line was added. `last`: nothing will be added any more."""
        data = self._added(PORTION_BYTES)
        if len(data) == PORTION_BYTES and b"\n" not in data:
            data = self._added(LINE_BYTES_MAX)
        cut = cut_lines(data, skipping=self._skipping, last=last)
        if cut.taken == 0:
            return None
        lines = cut.lines
        if self.offset == 0 and lines and is_header(self.path, lines[0]):
            lines = lines[1:]
        before = (self._before + data[: cut.taken])[-PROOF_BYTES:]
        self.resume(self.offset + cut.taken, before, skipping=cut.skipping)
        return Portion(lines, {self.name: self.mark()})

    def _added(self, length: int) -> bytes:
        """Read together with what stood before it: so it is known that it was added to what we read."""
        known = len(self._before)
        data = os.pread(self.handle, known + length, self.offset - known)
        if data[:known] == self._before:
            return data[known:]
        _log.info("%s was emptied and written anew: it is read from its beginning", self.path)
        self.resume(0, b"", skipping=False)
        return os.pread(self.handle, length, 0)


class Follower:
    """All files of one input. `marks` are those of its `InputLog` when it was opened."""

    def __init__(self, patterns: Sequence[str], marks: Mapping[str, bytes], *, from_end: bool = False) -> None:
        self._patterns, self._from_end = patterns, from_end and BEGUN not in marks
        self._marks = {name: mark for name, mark in marks.items() if name != BEGUN}
        self._first = True
        self._files: dict[Identity, Followed] = {}
        self._told: set[str] = set()
        self.awaited = {pattern for pattern in patterns if not has_magic(pattern)}
        """Files that are named, and that were never there. A pattern may mean none."""

    def lap(self, now: float) -> Iterator[Portion]:
        """Everything that was added, file by file, in the order in which they were found. `now` is in monotonic seconds.

        Raises OSError where the disk does not do what it should: begin again with a new one, from the marks.
        """
        matched = self._matches()
        if self._first:
            yield self._begin(matched)
        if new := self._take_up(matched, now):
            yield Portion((), {file.name: file.mark() for file in new})
        for file in list(self._files.values()):
            for portion in file.portions():
                if file.quiet_since is not None:
                    file.quiet_since = now
                yield portion
        yield from self._partings(now)

    def close(self) -> None:
        for file in self._files.values():
            os.close(file.handle)
        self._files.clear()

    def _begin(self, matched: Mapping[Identity, str]) -> Portion:
        """What was rotated away and not read to its end before this process began comes first."""
        self._first = False
        at_their_place = {str(inode) for _, inode in matched}
        elsewhere = [name for name in self._marks if name.split(".")[0] not in at_their_place]
        lost = [name for name in elsewhere if not self._find(name)]
        put = {BEGUN: b""}
        if self._from_end:
            for identity, path in matched.items():
                if (file := self._open(identity, path)) is not None:
                    file.skip_to_end()
                    put[file.name] = file.mark()
        return Portion((), put, lost)

    def _find(self, name: str) -> bool:
        """A file that is not called any more what it was called: it is still in its folder, or lost.

        Of one that nothing was read of, only the name can tell that the inode is not that of another file by now.
        """
        inode, position = int(name.split(".")[0]), decoded(self._marks[name])
        was = position.path
        folder, beginning = os.path.split(was)
        names = [each for each in _listed(folder) if position.offset > 0 or each.startswith(beginning)]
        for identity, path in regular(os.path.join(folder, each) for each in names):
            if identity[1] == inode and self._open(identity, path, only_known=True):
                return True
        _log.warning("%s was rotated away, and is gone: what was not read of it before is lost", was)
        return False

    def _take_up(self, matched: Mapping[Identity, str], now: float) -> list[Followed]:
        """Those that are new: their marks are kept before they are read, so that they are found again wherever they go."""
        new = [identity for identity in matched if identity not in self._files]
        opened = [self._open(identity, matched[identity]) for identity in new]
        for identity, file in self._files.items():
            if identity in matched:
                file.path, file.quiet_since = matched[identity], None
            elif file.quiet_since is None:
                file.quiet_since = now
        return [file for file in opened if file is not None]

    def _open(self, identity: Identity, path: str, *, only_known: bool = False) -> Followed | None:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._tell(path, f"cannot be read: {error.strerror}; trying again")
            return None
        known = known_position(handle, self._marks)
        if _identity(os.fstat(handle)) != identity or (only_known and known is None):
            os.close(handle)
            return None
        self._told.discard(path)
        file = self._files[identity] = Followed(path, handle, self._name(identity) if known is None else known.name)
        if known is not None:
            file.resume(known.position.offset, known.before, skipping=known.position.skipping)
        _log.info("%s is read from byte %d", path, file.offset)
        return file

    def _name(self, identity: Identity) -> str:
        """Two file systems may have one inode each of a number."""
        device, inode = identity
        taken = {file.name for file in self._files.values()}
        return f"{inode}.{device}" if str(inode) in taken else str(inode)

    def _matches(self) -> dict[Identity, str]:
        """The files that the patterns mean, the one that was not written for longest first."""
        paths: list[str] = []
        for pattern in self._patterns:
            if has_magic(pattern):
                paths += [path for path in sorted(glob(pattern, recursive=True)) if not path.endswith(COMPRESSED)]
            else:
                paths.append(pattern)
                if os.path.exists(pattern):
                    self.awaited.discard(pattern)
                else:
                    self._tell(pattern, "is not there yet")
        return dict(regular(paths))

    def _tell(self, path: str, what: str) -> None:
        """Once, until it is well again."""
        if path not in self._told:
            self._told.add(path)
            _log.warning("%s %s", path, what)

    def _partings(self, now: float) -> Iterator[Portion]:
        for identity, file in list(self._files.items()):
            if file.quiet_since is not None and now - file.quiet_since >= GRACE_SECONDS:
                rest = file.portion(last=True)
                yield Portion(rest.lines if rest is not None else (), {}, [file.name])
                os.close(file.handle)
                del self._files[identity]


def regular(paths: Iterable[str]) -> Iterator[tuple[Identity, str]]:
    """Those that are files, the one that was not written for longest first; of two names of one file the last."""
    found: list[tuple[int, str, Identity]] = []
    for path in paths:
        try:
            about = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(about.st_mode):
            found.append((about.st_mtime_ns, path, _identity(about)))
    return ((identity, path) for _, path, identity in sorted(found))


def _identity(about: os.stat_result) -> Identity:
    return about.st_dev, about.st_ino


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []
