"""Rotation, truncation and restarts of one followed file, step by step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.connectors.file_follow import GRACE_SECONDS, Follower, regular
from penstock.connectors.lines import LINE_BYTES_MAX


class Reader:
    """A follower, and what a process that follows has committed: lines and marks together."""

    def __init__(self, *patterns: str, from_end: bool = False) -> None:
        self._patterns, self._from_end = patterns, from_end
        self.marks: dict[str, bytes] = {}
        self.now = 0.0
        self.restart()

    def restart(self) -> None:
        self._follower = Follower(self._patterns, self.marks, from_end=self._from_end)

    def lap(self, seconds: float = 0.25) -> list[str]:
        self.now += seconds
        lines: list[str] = []
        for portion in self._follower.lap(self.now):
            lines += [line.decode() for line in portion.lines]
            for name in portion.drop:
                del self.marks[name]
            self.marks.update(portion.put)
        return lines


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "auth.log"


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_what_is_added_is_read_once_and_a_half_line_waits_for_its_end(log: Path) -> None:
    reader = Reader(str(log))
    assert reader.lap() == []
    add(log, "a\nb\nhal")
    assert reader.lap() == ["a", "b"]
    assert reader.lap() == []
    add(log, "f\n")
    assert reader.lap() == ["half"]


def test_a_restart_goes_on_where_the_last_commit_ended(log: Path) -> None:
    add(log, "a\nb\n")
    reader = Reader(str(log))
    assert reader.lap() == ["a", "b"]
    add(log, "c\n")
    reader.restart()
    assert reader.lap() == ["c"]


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(log: Path) -> None:
    reader = Reader(str(log))
    add(log, "a\n")
    reader.lap()
    add(log, "b\n")
    old = log.rename(log.with_suffix(".log.1"))
    add(log, "d\n")
    assert reader.lap() == ["b", "d"]
    add(old, "c\n")
    assert reader.lap() == ["c"]


def test_the_unfinished_line_of_a_file_that_was_left_counts_when_its_writer_has_had_his_time(log: Path) -> None:
    reader = Reader(str(log))
    add(log, "a\nb")
    reader.lap()
    log.unlink()
    assert reader.lap() == []
    assert reader.lap(GRACE_SECONDS) == ["b"]
    assert list(reader.marks) == ["begun"]


def test_a_file_that_was_renamed_while_nobody_looked_is_found_by_its_inode(log: Path) -> None:
    reader = Reader(str(log))
    add(log, "a\n")
    reader.lap()
    add(log, "b\n")
    log.rename(log.with_suffix(".log.1"))
    add(log, "c\n")
    reader.restart()
    assert reader.lap() == ["b", "c"]


def test_a_file_that_was_deleted_while_nobody_looked_is_told_of(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader(str(log))
    add(log, "a\n")
    reader.lap()
    log.rename(log.with_suffix(".gone"))
    add(log, "b\n")
    log.with_suffix(".gone").unlink()
    reader.restart()
    assert reader.lap() == ["b"]
    assert "what was not read of it before is lost" in caplog.text
    assert len(reader.marks) == 2


def test_another_file_with_the_inode_of_one_that_is_gone_is_left_alone(log: Path) -> None:
    reader = Reader(str(log))
    add(log, "a\n")
    reader.lap()
    (name,) = set(reader.marks) - {"begun"}
    log.rename(log.with_suffix(".other")).write_text("secret\nlines\n")
    add(log, "b\n")
    reader.restart()
    assert reader.lap() == ["b"]
    assert name not in reader.marks


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("new", ["x\n", "longer than before\nand more\n"])
def test_a_file_that_was_emptied_is_read_from_its_beginning(log: Path, new: str, restarted: bool) -> None:
    reader = Reader(str(log))
    add(log, "a\nb\nc\n")
    reader.lap()
    log.write_text(new)  # the same inode
    if restarted:
        reader.restart()
    assert reader.lap() == new.splitlines()


def test_a_pattern_reads_the_oldest_file_first_and_follows_files_through_their_renaming(tmp_path: Path) -> None:
    for age, name in enumerate(["a.log", "a.log.1", "a.log.2"]):
        add(tmp_path / name, f"{name}\n")
        os.utime(tmp_path / name, (1_000 - age, 1_000 - age))
    add(tmp_path / "a.log.3.gz", "no text\n")
    reader = Reader(f"{tmp_path}/a.log*")
    assert reader.lap() == ["a.log.2", "a.log.1", "a.log"]
    for number in (2, 1):
        (tmp_path / f"a.log.{number}").rename(tmp_path / f"a.log.{number + 1}")
    (tmp_path / "a.log").rename(tmp_path / "a.log.1")
    add(tmp_path / "a.log", "new\n")
    reader.restart()
    assert reader.lap() == ["new"]


def test_from_the_end_means_the_first_time_and_the_files_of_that_time(log: Path) -> None:
    add(log, "before\nhalf ")
    reader = Reader(str(log), from_end=True)
    assert reader.lap() == []
    reader.restart()
    add(log, "a line\nafter\n")
    assert reader.lap() == ["after"]
    log.rename(log.with_suffix(".1"))
    add(log, "new file\n")
    assert reader.lap() == ["new file"]


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    add(tmp_path / "file", "a\n")
    assert [path for _, path in regular(map(str, tmp_path.iterdir()))] == [str(tmp_path / "file")]
    assert Reader(f"{tmp_path}/*").lap() == ["a"]


def test_a_line_that_is_too_long_is_cut_and_a_restart_within_it_knows(log: Path) -> None:
    reader = Reader(str(log))
    add(log, "x" * (LINE_BYTES_MAX + 5))
    assert [len(line) for line in reader.lap()] == [LINE_BYTES_MAX]
    reader.restart()
    add(log, "xx\nnext\n")
    assert reader.lap() == ["next"]


def test_the_header_of_a_csv_file_is_no_record(tmp_path: Path) -> None:
    add(tmp_path / "a.csv", "host,user\nweb-1,root 1\n")
    assert Reader(str(tmp_path / "a.csv")).lap() == ["web-1,root 1"]
