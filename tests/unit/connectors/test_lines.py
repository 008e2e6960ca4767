from __future__ import annotations

import pytest

from penstock.connectors.lines import LINE_BYTES_MAX, Cut, cut_lines, is_header


def test_a_line_is_whole_when_its_end_has_come() -> None:
    assert cut_lines(b"a\nb\r\nhalf") == Cut([b"a", b"b"], 5, False)
    assert cut_lines(b"half") == Cut([], 0, False)


def test_empty_lines_are_none_and_are_taken() -> None:
    assert cut_lines(b"\n\r\na\n\n") == Cut([b"a"], 6, False)


def test_the_end_of_the_stream_ends_a_line() -> None:
    assert cut_lines(b"a\nb", last=True) == Cut([b"a", b"b"], 3, False)
    assert cut_lines(b"", last=True) == Cut([], 0, False)


def test_of_a_line_that_is_too_long_the_beginning_is_kept_and_the_rest_is_dropped() -> None:
    long = b"x" * (LINE_BYTES_MAX + 10)
    first = cut_lines(long)
    assert first == Cut([long[:LINE_BYTES_MAX]], len(long), True)
    assert cut_lines(b"still the same line", skipping=True) == Cut([], 19, True)
    assert cut_lines(b"its end\nnext\n", skipping=True) == Cut([b"next"], 13, False)
    assert cut_lines(b"its end", skipping=True, last=True) == Cut([], 7, False)


def test_a_long_line_is_the_same_whether_it_comes_at_once_or_not() -> None:
    long = b"y" * (LINE_BYTES_MAX + 10) + b"\n"
    assert cut_lines(long).lines == [long[:LINE_BYTES_MAX]]


@pytest.mark.parametrize(("path", "header"), [("a.csv", True), ("a.log", False)])
def test_only_a_csv_file_begins_with_names_of_columns(path: str, header: bool) -> None:
    assert is_header(path, b"host,user name,ts") is header
    assert not is_header(path, b"web-1,root,12")
