"""What must hold of one task's log, and how much of it is still needed. Pure bookkeeping over entries and offsets.

    seq          each delta's is its predecessor's + 1; a hole means that the log lost something
    incarnation  only `opened` raises it, and it never goes back
    buckets      every image travels with a delta and is as of that delta (protocol rule 5)

    log   │ d0 │ d1 b0/2 │ d2 │ d3 b1/2 │ d4 │ d5 b0/2 │ d6 │
                                ▲ trim_to(): bucket 1 needs d3 and what follows it; bucket 0 needs less

A lower incarnation after a higher one cannot be a late write of a zombie: its epoch was retired before its successor
read the log, so the transport refuses the write or the aborted transaction hides it. If such a record is there
nevertheless, two processes did write at the same time, and either may have been believed: that is damage, not noise.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.operators.error import Damaged
from penstock.state.delta import Bucket, Delta, Entry


class Journal:
    """One task's log, while it is restored (`restored` …, `end_of_log`) and while it grows (`check`, `confirmed` …).

    `log` is the topic's name. Everything the journal is told has to be committed; what merely was sent does not count.
    """

    def __init__(self, log: str, partition: int) -> None:
        self._where = f"{log}/{partition}"
        self.seq = -1
        """seq of the last delta; −1 before the first."""
        self.incarnation = 0
        """That of the last delta; the next `opened` carries one more."""
        self.sent: dict[str, int] = {}
        """Last own offset per output topic as the last delta knew it: a lower bound, its own outputs follow it."""
        self._first_seq: int | None = None
        self._last_delta_at = 0
        self._images = Images()
        self._trimmed_to = 0
        self._may_write = False

    def restored(self, entry: Entry, incarnation: int, offset: int) -> None:
        """The next entry of the log; `offset` of its first record. Raises Damaged."""
        if isinstance(entry, Bucket):
            self._restored_bucket(entry, incarnation, offset)
        else:
            self._restored_delta(entry, incarnation, offset)

    def _restored_delta(self, delta: Delta, incarnation: int, offset: int) -> None:
        seq, first = delta.header.seq, self._first_seq is None
        if first:
            self._first_seq, self._trimmed_to = seq, offset
        elif seq != self.seq + 1:
            raise self._damaged(f"a hole in the log: expected seq {self.seq + 1}, found {seq}", offset)
        elif (delta.header.kind == "opened") != (incarnation > self.incarnation) or incarnation < self.incarnation:
            raise self._damaged(
                f"two processes wrote at the same time: seq {seq} ({delta.header.kind}) is by incarnation {incarnation}, "
                f"the one before by {self.incarnation}",
                offset,
            )
        self._delta_is_in(delta, offset)

    def _restored_bucket(self, bucket: Bucket, incarnation: int, offset: int) -> None:
        if bucket.seq != self.seq or incarnation != self.incarnation:
            raise self._damaged(f"the image of a bucket as of seq {bucket.seq} stands behind seq {self.seq}", offset)
        self._bucket_is_in(bucket, offset)

    def end_of_log(self, log_start: int) -> None:
        """Everything from offset `log_start` on is restored.

        Raises Damaged if the beginning of the log is gone and what is left does not make up for it.
        """
        if self._first_seq is None and log_start > 0:
            raise self._beheaded(f"everything before offset {log_start} is gone, and nothing follows it")
        if self._first_seq not in (None, 0) and self._images.oldest is None:
            raise self._beheaded(f"it begins at seq {self._first_seq}, and the images in it do not cover all keys")

    def check(self, delta: Delta, buckets: Sequence[Bucket]) -> None:
        """Whether this may be committed next. A caller that is out of order is a bug: raises RuntimeError."""
        header = delta.header
        if header.seq != self.seq + 1 or any(bucket.seq != header.seq for bucket in buckets):
            raise RuntimeError(f"{self._where}: committing seq {header.seq} after {self.seq}")
        expected = self.incarnation if self._may_write else self.incarnation + 1
        if (header.kind == "opened") == self._may_write or header.incarnation != expected:
            raise RuntimeError(
                f"{self._where}: incarnation {header.incarnation} may not commit {header.kind!r}; "
                f"an opened log begins with one `opened` of incarnation {expected}"
            )

    def confirmed(self, delta: Delta, offset: int, buckets: Sequence[Bucket] = ()) -> None:
        """A commit of ours was decided: the offset of its first record. Before that its images do not count."""
        self._may_write = True
        self._delta_is_in(delta, offset)
        for bucket in buckets:
            self._bucket_is_in(bucket, offset)

    def trim_to(self) -> int | None:
        """Everything before this offset can be deleted; None if that is nothing new. Each answer is given once."""
        oldest = self._images.oldest
        if oldest is None or oldest <= self._trimmed_to:
            return None
        self._trimmed_to = oldest
        return oldest

    def _delta_is_in(self, delta: Delta, offset: int) -> None:
        self.seq, self.incarnation = delta.header.seq, delta.header.incarnation
        self.sent = dict(delta.header.sent)
        self._last_delta_at = offset

    def _bucket_is_in(self, bucket: Bucket, offset: int) -> None:
        """An image is kept together with the delta that it travels with: so the last delta is never trimmed."""
        if not self._images.add(bucket.index, bucket.of, self._last_delta_at):
            raise self._damaged(f"the image of bucket {bucket.index}/{bucket.of} fits none of the others", offset)

    def _damaged(self, what: str, offset: int) -> Damaged:
        return Damaged(
            what,
            where=f"{self._where}@{offset}",
            remedy="restore the topic from a copy, or start afresh under another name",
        )

    def _beheaded(self, what: str) -> Damaged:
        return Damaged(
            f"the beginning of the log was deleted: {what}",
            where=self._where,
            remedy="only Penstock may trim it: give the topic unlimited retention, and restore it from a copy",
        )


class Images:
    """Where the newest image of every bucket begins, at the finest cut seen so far.

    Buckets are split by doubling: an image of `index` of `of` covers every bucket j of a finer cut with j % of == index.
    """

    def __init__(self) -> None:
        self._newest: list[int | None] = [None]

    def add(self, index: int, of: int, offset: int) -> bool:
        """An image that begins at `offset`. False if no such bucket can be: `of` is no multiple of the cut before."""
        if of > len(self._newest):
            if of % len(self._newest):
                return False
            self._newest = self._newest * (of // len(self._newest))
        if len(self._newest) % of or not 0 <= index < of:
            return False
        for covered in range(index, len(self._newest), of):
            self._newest[covered] = offset
        return True

    @property
    def oldest(self) -> int | None:
        """The least of them; None while some bucket has no image."""
        known = [offset for offset in self._newest if offset is not None]
        return min(known) if len(known) == len(self._newest) else None
