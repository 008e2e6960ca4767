import pytest

from penstock.connectors.sse import EventParser, EventTooLong


def events(*chunks: bytes, cap: int = 1 << 20) -> list[bytes]:
    parser = EventParser(cap)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_one_read_may_hold_many_events() -> None:
    assert events(b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n") == [b"1", b"2", b"[DONE]"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_lines_end_in_lf_cr_or_crlf(end: bytes) -> None:
    assert events(b"data: 1" + end + end + b"data: 2" + end + end) == [b"1", b"2"]


def test_a_cr_and_its_lf_in_two_reads_are_one_line_end() -> None:
    assert events(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [b"a\nb"]


def test_a_cr_ends_an_event_without_waiting_for_the_next_read() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r\r") == [b"a"]
    assert parser.feed(b"") == []
    assert parser.feed(b"\ndata: b\r\n\r\n") == [b"b"]


def test_a_character_cut_between_two_reads_arrives_whole() -> None:
    text = 'data: {"content": "größer – 日本"}\n\n'.encode()
    for cut in range(len(text)):
        assert events(text[:cut], text[cut:]) == [text[6:-2]]


def test_keep_alives_and_other_fields_are_no_events() -> None:
    assert events(b": ping\n\n:\n\nevent: message\nid: 7\nretry: 10\n\nfoo\n\ndata: x\n\n") == [b"x"]


def test_several_data_lines_are_joined_by_lf() -> None:
    assert events(b"data: a\ndata:b\ndata:  c\ndata\n\n") == [b"a\nb\n c\n"]


def test_a_byte_order_mark_at_the_start_is_skipped_even_when_it_is_cut() -> None:
    assert events(b"\xef\xbb", b"\xbfdata: x\n\n") == [b"x"]
    assert events(b"data: y\n\n", b"\xef\xbb\xbfdata: x\n\n") == [b"y"]


def test_an_event_without_its_empty_line_is_not_returned() -> None:
    assert events(b"data: cut\n") == []


def test_an_empty_data_line_is_an_event_and_an_empty_line_is_none() -> None:
    assert events(b"\n\ndata:\n\n\n\n") == [b""]


def test_a_line_that_never_ends_is_an_error_and_not_a_full_memory() -> None:
    with pytest.raises(EventTooLong, match="more than 100 bytes"):
        events(*[b"x" * 10] * 11, cap=100)


def test_an_event_of_endless_data_lines_is_an_error() -> None:
    with pytest.raises(EventTooLong):
        events(*[b"data: 0123456789\n"] * 11, cap=100)


def test_the_cap_is_for_one_event_and_not_for_the_stream() -> None:
    assert events(*([b"data: " + b"x" * 90 + b"\n\n"] * 100), cap=100) == [b"x" * 90] * 100
