"""What the http check asks, and how it judges answers, as tables and rules."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpcrouter.monitoring.http import MAX_READ, Answer, CheckUrl, HttpCheck, Statuses
from vpcrouter.monitoring.refusal import MissedError

HOST = "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "url", "authority"),
    [
        ("http://{host}", CheckUrl(False, 80, "/"), HOST),
        ("http://{host}/", CheckUrl(False, 80, "/"), HOST),
        ("http://{host}:80/", CheckUrl(False, 80, "/"), HOST),
        ("HTTP://{HOST}:8080/healthz", CheckUrl(False, 8080, "/healthz"), f"{HOST}:8080"),
        ("http://{host}?full=1", CheckUrl(False, 80, "/?full=1"), HOST),
        ("http://{host}/a/{host}?b={host}", CheckUrl(False, 80, "/a/{host}?b={host}"), HOST),
        ("https://{host}/", CheckUrl(True, 443, "/"), HOST),
        ("https://{host}:80/", CheckUrl(True, 80, "/"), f"{HOST}:80"),
        ("http://{host}:443/", CheckUrl(False, 443, "/"), f"{HOST}:443"),
    ],
)
def test_urls(text: str, url: CheckUrl, authority: str) -> None:
    assert CheckUrl.of(text) == url
    assert url.authority(HOST) == authority
    request = HttpCheck(url, Statuses.of("200")).request(HOST)
    assert dict(request.headers)[b"host"] == authority.encode()
    assert request.target.decode() == url.path.replace("{host}", HOST)


@pytest.mark.parametrize(
    ("text", "authority"),
    [("http://{host}/", "[fd00::1]"), ("https://{host}:8443/", "[fd00::1]:8443")],
)
def test_ipv6_addresses_stand_in_brackets(text: str, authority: str) -> None:
    request = HttpCheck(CheckUrl.of(text), Statuses.of("200")).request("fd00::1")
    assert dict(request.headers)[b"host"] == authority.encode()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "must begin with"),
        ("{host}:8080/", "must begin with"),
        ("ftp://{host}/", "must begin with"),
        ("http://", "must have {host}"),
        ("http://10.0.0.1/{host}", "must have {host}"),
        ("http://{host}.example/", "must have {host}"),
        ("http://me:secret@{host}/", "must have {host}"),
        ("http://{host}:0/", "port from 1"),
        ("http://{host}:65536/", "port from 1"),
        ("http://{host}:web/", "port from 1"),
        ("http://[{host}/", "port from 1"),
        ("http://{host}/#here", "no fragment"),
        ("http://{host}/a b", "ASCII"),
        ("http://{host}/\r\nX: y", "ASCII"),
        ("http://{host}/ä", "ASCII"),
    ],
)
def test_urls_that_are_none(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        CheckUrl.of(text)


@given(st.text(st.characters(codec="ascii"), max_size=30))
def test_every_url_that_is_taken_can_be_asked_for(path: str) -> None:
    try:
        url = CheckUrl.of("http://{host}/" + path)
    except ValueError:
        return
    HttpCheck(url, Statuses.of("200")).request(HOST)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("200", [200], [199, 201]),
        ("200,204", [200, 204], [202, 404]),
        ("200-399", [200, 302, 399], [400, 500]),
        (" 200 - 299 , 401 ", [200, 299, 401], [300, 400]),
        ("200-200", [200], [201]),
        ("503", [503], [200]),
    ],
)
def test_statuses(text: str, inside: list[int], outside: list[int]) -> None:
    statuses = Statuses.of(text)
    assert all(status in statuses for status in inside)
    assert not any(status in statuses for status in outside)


@pytest.mark.parametrize(
    "text", ["", ",", "200,", "x", "2xx", "299-200", "100", "101-200", "600", "200-600", "-200"]
)
def test_statuses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be statuses from 200 to 599"):
        Statuses.of(text)


def judge(chunks: list[bytes], text: bytes = b"") -> bool | str:
    """Whether the answer was good when the last chunk had come; why not."""
    check = HttpCheck(CheckUrl.of("http://{host}/"), Statuses.of("200-399"), text)
    answer = Answer(check, check.request(HOST))
    try:
        return [answer.feed(chunk) for chunk in chunks][-1]
    except MissedError as error:
        return str(error)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """`data` in pieces, none of them empty."""
    edges = sorted({0, len(data), *(i % len(data) for i in at)})
    return [data[a:b] for a, b in pairwise(edges)]


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nall is ready"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"7\r\nall is \r\n5\r\nready\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\nall is ready"
CUT = list[int]
cuts = st.lists(st.integers(0, 1000), max_size=20)


@given(st.sampled_from([LENGTH, CHUNKED]), cuts, st.sampled_from([b"", b"ready", b"all is ready"]))
def test_an_answer_is_good_however_it_is_cut(data: bytes, at: CUT, text: bytes) -> None:
    chunks = cut(data, at)
    assert judge(chunks, text) is True
    assert judge(chunks[:-1], text) is False if len(chunks) > 1 else True


@given(cuts)
def test_an_answer_of_no_length_is_good_at_its_end(at: CUT) -> None:
    chunks = cut(ENDLESS, at)
    assert judge(chunks, b"ready") is False
    assert judge([*chunks, b""], b"ready") is True
    assert judge([*chunks, b""], b"steady") == "body does not contain the expected text"


@given(st.sampled_from([LENGTH, CHUNKED]), st.integers(1, 30), cuts)
def test_an_answer_cut_short_is_none(data: bytes, lacking: int, at: CUT) -> None:
    chunks = cut(data[:-lacking], at)
    assert "closed before the response was complete" in str(judge([*chunks, b""]))


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=20), st.booleans())
def test_rubbish_is_never_good(chunks: list[bytes], after_head: bool) -> None:
    if after_head:
        chunks = [b"HTTP/1.1 404 X\r\n", *chunks]
    assert judge([*chunks, b"\r\n\r\n", b""]) is not True


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "not an HTTP response"),
        (b"<html>200 OK</html>\r\n\r\n", "not an HTTP response"),
        (b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", "not an HTTP response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not an HTTP response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not an HTTP response"),
        (b"x" * (MAX_READ + 1), "response exceeds 256 KiB"),
    ],
)
def test_answers_that_are_none(data: bytes, reason: str) -> None:
    assert reason in str(judge([data]))
