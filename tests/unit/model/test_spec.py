"""The route spec: what is accepted, and how everything else is refused."""

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpcrouter.errors import SpecError
from vpcrouter.model.spec import (
    MAX_FAULTS_LISTED,
    MAX_SPEC_BYTES,
    Document,
    RouteSpec,
    merge_specs,
    parse_spec,
)

HOST = '["10.0.0.1"]'
AROUND_THE_LIMIT = (MAX_SPEC_BYTES - 100) * " "


def faults_of(document: Document) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        parse_spec(document)
    return caught.value.faults


@pytest.mark.parametrize(
    ("document", "routes"),
    [
        pytest.param(
            '{"10.55.16.0/24": ["10.33.20.142"], "10.66.17.0/24": ["10.33.20.93", "10.33.30.22"]}',
            {"10.55.16.0/24": ("10.33.20.142",), "10.66.17.0/24": ("10.33.20.93", "10.33.30.22")},
            id="two CIDRs",
        ),
        pytest.param('{"10.1.2.3/32": ["10.0.0.1"]}', {"10.1.2.3/32": ("10.0.0.1",)}, id="one IP"),
        pytest.param('{"0.0.0.0/0": ["10.0.0.1"]}', {"0.0.0.0/0": ("10.0.0.1",)}, id="default"),
        pytest.param(
            '{"10.1.0.0/16": ["10.0.0.2", "10.0.0.1", "10.0.0.2"]}',
            {"10.1.0.0/16": ("10.0.0.2", "10.0.0.1")},
            id="hosts once and in order",
        ),
        pytest.param(
            '{"10.10.0.0/16": ["10.0.0.1"], "10.2.0.0/16": ["10.0.0.1"]}',
            {"10.2.0.0/16": ("10.0.0.1",), "10.10.0.0/16": ("10.0.0.1",)},
            id="CIDRs in the order of their numbers",
        ),
        pytest.param(
            b'\xef\xbb\xbf{"10.1.0.0/16": ["10.0.0.1"]}',
            {"10.1.0.0/16": ("10.0.0.1",)},
            id="byte order mark",
        ),
        pytest.param(
            {"10.1.0.0/16": ("10.0.0.1",)}, {"10.1.0.0/16": ("10.0.0.1",)}, id="a mapping"
        ),
        pytest.param(
            AROUND_THE_LIMIT + '{"10.1.0.0/16": ["10.0.0.1"]}',
            {"10.1.0.0/16": ("10.0.0.1",)},
            id="just under 16 MiB",
        ),
    ],
)
def test_accepted(document: Document, routes: dict[str, tuple[str, ...]]) -> None:
    accepted = parse_spec(document)
    assert list(accepted.routes.items()) == list(routes.items())
    assert accepted.warnings == ()


def test_host_bits_are_cleared_with_a_warning() -> None:
    accepted = parse_spec('{"10.1.2.3/16": ["10.0.0.1"], "10.2.0.0/16": ["10.0.0.1"]}')
    assert list(accepted.routes) == ["10.1.0.0/16", "10.2.0.0/16"]
    (warning,) = accepted.warnings
    assert "10.1.2.3/16" in warning
    assert "10.1.0.0/16" in warning


def test_hosts_of_all_cidrs_once_and_sorted() -> None:
    accepted = parse_spec(
        {"10.1.0.0/16": ["10.0.0.2", "10.0.0.1"], "10.2.0.0/16": ["10.0.0.1", "10.0.0.3"]}
    )
    assert accepted.hosts == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def of_hosts(hosts: str) -> str:
    return f'{{"10.1.0.0/16": {hosts}}}'


def of_cidr(cidr: str) -> str:
    return f'{{"{cidr}": {HOST}}}'


@pytest.mark.parametrize(
    ("document", "fragment"),
    [
        # The document as a whole
        pytest.param("", "bad JSON at line 1, column 1", id="no text"),
        pytest.param("{", "bad JSON", id="cut off"),
        pytest.param('{"10.1.0.0/16": ["10.0.0.1"]', "bad JSON", id="half-written"),
        pytest.param('{"10.1.0.0/16": ["10.0.0.1"],}', "bad JSON", id="trailing comma"),
        pytest.param("{'10.1.0.0/16': ['10.0.0.1']}", "bad JSON", id="single quotes"),
        pytest.param(of_cidr("10.1.0.0/16") + "x", "Extra data", id="more after it"),
        pytest.param(b"\xff\xfe\xff", "bad JSON", id="invalid UTF-16"),
        pytest.param(b'{"\xc3\x28": 1}', "bad JSON", id="invalid UTF-8"),
        pytest.param(100_000 * "[", "bad JSON", id="deep nesting"),
        pytest.param(100_000 * '{"a":', "bad JSON", id="deep nesting of objects"),
        pytest.param(of_hosts("9" * 5000), "bad JSON", id="a number of 5000 digits"),
        pytest.param((MAX_SPEC_BYTES + 1) * b" ", "larger than 16 MiB", id="over 16 MiB"),
        pytest.param("{}", "empty", id="empty"),
        pytest.param({}, "empty", id="empty mapping"),
        pytest.param("[]", "not a list", id="a list"),
        pytest.param('["10.1.0.0/16"]', "not a list", id="a list of CIDRs"),
        pytest.param('"10.1.0.0/16"', "not text", id="text"),
        pytest.param("null", "not null", id="null"),
        pytest.param("true", "not true", id="true"),
        pytest.param("0", "not a number", id="zero"),
        pytest.param("NaN", "not a number", id="NaN"),
        # The CIDR
        pytest.param(of_cidr(""), '"": is not a CIDR', id="empty CIDR"),
        pytest.param(of_cidr("default"), "is not a CIDR", id="a word"),
        pytest.param(of_cidr("10.1.0.0/33"), "is not a CIDR", id="prefix too long"),
        pytest.param(of_cidr("10.1.0/16"), "is not a CIDR", id="three octets"),
        pytest.param(of_cidr("10.1.0.0/16 "), "is not a CIDR", id="space after it"),
        pytest.param(of_cidr("010.1.0.0/16"), "is not a CIDR", id="leading zero"),
        pytest.param(of_cidr("10.1.0.0/-1"), "is not a CIDR", id="negative prefix"),
        pytest.param(of_cidr("10.1.0.0/16/8"), "is not a CIDR", id="two prefixes"),
        pytest.param(of_cidr("10.1.2.3"), "write 10.1.2.3/32", id="no prefix"),
        pytest.param(of_cidr("10.1.0.0/255.255.0.0"), "write the prefix length", id="netmask"),
        pytest.param(of_cidr("2001:db8::/32"), "only IPv4", id="IPv6"),
        pytest.param({10: ["10.0.0.1"]}, "a CIDR is text, not a number", id="a number as CIDR"),
        pytest.param({None: ["10.0.0.1"]}, "a CIDR is text, not null", id="None as CIDR"),
        # Its hosts
        pytest.param(of_hosts("[]"), "has no hosts", id="no hosts"),
        pytest.param(of_hosts('"10.0.0.1"'), "not text", id="hosts as text"),
        pytest.param(of_hosts('{"10.0.0.1": 1}'), "not an object", id="hosts as object"),
        pytest.param(of_hosts("{}"), "not an object", id="hosts as empty object"),
        pytest.param(of_hosts("null"), "not null", id="hosts null"),
        pytest.param(of_hosts("false"), "not false", id="hosts false"),
        pytest.param(of_hosts("1"), "not a number", id="hosts 1"),
        pytest.param(of_hosts("0.0"), "not a number", id="hosts 0.0"),
        pytest.param(of_hosts("NaN"), "not a number", id="hosts NaN"),
        pytest.param(of_hosts("1e999"), "not a number", id="hosts infinite"),
        pytest.param({"10.1.0.0/16": {"10.0.0.1"}}, "not a set", id="hosts as a set"),
        pytest.param(of_hosts("[1]"), "host 1 is a number", id="host 1"),
        pytest.param(of_hosts('["10.0.0.1", 0]'), "host 2 is a number", id="second host 0"),
        pytest.param(of_hosts("[true]"), "host 1 is true", id="host true"),
        pytest.param(of_hosts("[null]"), "host 1 is null", id="host null"),
        pytest.param(of_hosts('[["10.0.0.1"]]'), "host 1 is a list", id="host a list"),
        pytest.param(of_hosts("[{}]"), "host 1 is an object", id="host an object"),
        pytest.param(of_hosts('[""]'), "is not an IP address", id="host empty"),
        pytest.param(of_hosts('["router"]'), "is not an IP address", id="host a name"),
        pytest.param(of_hosts('["10.0.0.256"]'), "is not an IP address", id="host out of range"),
        pytest.param(of_hosts('["10.0.0.1/32"]'), "is not an IP address", id="host a CIDR"),
        pytest.param(of_hosts('[" 10.0.0.1"]'), "is not an IP address", id="host after a space"),
        pytest.param(of_hosts('["::1"]'), "only IPv4", id="host IPv6"),
        pytest.param(of_hosts('["0.0.0.0"]'), "is not a host address", id="host unspecified"),
        pytest.param(of_hosts('["224.0.0.1"]'), "is not a host address", id="host multicast"),
        # Duplicates
        pytest.param(
            f'{{"10.1.0.0/16": {HOST}, "10.1.0.0/16": {HOST}}}', "is listed twice", id="same key"
        ),
        pytest.param(
            f'{{"10.1.0.0/16": {HOST}, "10.1.9.9/16": {HOST}}}',
            'is the same CIDR as "10.1.0.0/16"',
            id="same CIDR after normalising",
        ),
    ],
)
def test_refused(document: Document, fragment: str) -> None:
    (fault,) = faults_of(document)
    assert fragment in fault


def test_all_faults_at_once_each_naming_its_entry() -> None:
    document = """{
        "10.1.0.0/16": [],
        "10.2.0.0/16": ["10.0.0.1", "bad", 7],
        "nonsense": ["worse"],
        "10.3.0.0/16": ["10.0.0.1"],
        "10.3.0.1/16": ["10.0.0.1"],
        "10.4.0.0/16": null
    }"""
    expected = [
        ('"10.1.0.0/16"', "no hosts"),
        ('"10.2.0.0/16"', "host 2"),
        ('"10.2.0.0/16"', "host 3"),
        ('"nonsense"', "host 1"),
        ('"nonsense"', "not a CIDR"),
        ('"10.3.0.1/16"', '"10.3.0.0/16"'),
        ('"10.4.0.0/16"', "list of hosts"),
    ]
    found = faults_of(document)
    assert len(found) == len(expected)
    for fault, (entry, what) in zip(found, expected, strict=True):
        assert fault.startswith(entry)
        assert what in fault


def test_a_flood_of_faults_is_cut_and_counted() -> None:
    faults = faults_of({"10.1.0.0/16": ["bad"] * (MAX_FAULTS_LISTED + 7)})
    assert len(faults) == MAX_FAULTS_LISTED + 1
    assert faults[-1] == "and 7 more"


def test_a_long_key_is_shortened() -> None:
    (fault,) = faults_of({"x" * 10_000: ["10.0.0.1"]})
    assert len(fault) < 100


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NEARLY_CIDRS = st.from_regex(r"10\.\d{1,3}\.0\.\d(/\d{1,2})?", fullmatch=True) | st.text(max_size=5)
NEARLY_HOSTS = st.from_regex(r"10\.0\.0\.\d{1,3}", fullmatch=True)
NEARLY_SPECS = st.dictionaries(
    NEARLY_CIDRS, st.lists(NEARLY_HOSTS, max_size=3) | JSON_VALUES, max_size=4
)


def is_canonical(accepted: RouteSpec) -> bool:
    networks = [ipaddress.IPv4Network(cidr) for cidr in accepted.routes]
    return (
        bool(networks)
        and [str(network) for network in networks] == list(accepted.routes)
        and networks == sorted(set(networks))
        and all(
            hosts
            and len(set(hosts)) == len(hosts)
            and all(str(ipaddress.IPv4Address(host)) == host for host in hosts)
            for hosts in accepted.routes.values()
        )
    )


def is_handled(document: Document) -> bool:
    try:
        accepted = parse_spec(document)
    except SpecError as error:
        return bool(error.faults) and all(error.faults)
    again = parse_spec(json.dumps(accepted.routes))
    return is_canonical(accepted) and again.routes == accepted.routes


@given(JSON_VALUES | NEARLY_SPECS)
def test_any_json_is_a_canonical_spec_or_refused(value: Any) -> None:
    assert is_handled(json.dumps(value))
    if isinstance(value, dict):
        assert is_handled(value)


@given(st.binary() | st.text() | st.text().map(lambda text: text.encode("utf-16")))
def test_any_bytes_or_text_is_a_canonical_spec_or_refused(document: bytes | str) -> None:
    assert is_handled(document)


@given(st.data())
def test_a_damaged_spec_is_a_canonical_spec_or_refused(data: st.DataObject) -> None:
    whole = b'{"10.1.2.0/24": ["10.0.0.1", "10.0.0.2"], "10.2.0.0/16": ["10.0.0.3"]}'
    at = data.draw(st.integers(0, len(whole)))
    upto = data.draw(st.integers(at, len(whole)))
    assert is_handled(whole[:at] + data.draw(st.binary(max_size=3)) + whole[upto:])


def test_a_checked_spec_is_not_checked_again() -> None:
    spec = parse_spec('{"10.1.2.3/24": ["10.0.0.1"]}')
    assert parse_spec(spec) is spec


def test_several_specs_are_merged_into_one_in_the_order_of_their_cidrs() -> None:
    merged = merge_specs(
        {
            "b.conf": parse_spec('{"10.10.0.0/16": ["10.0.0.1"], "10.2.0.0/16": ["10.0.0.2"]}'),
            "a.conf": parse_spec('{"10.3.0.1/16": ["10.0.0.2", "10.0.0.1"]}'),
        }
    )
    assert list(merged.routes.items()) == [
        ("10.2.0.0/16", ("10.0.0.2",)),
        ("10.3.0.0/16", ("10.0.0.2", "10.0.0.1")),
        ("10.10.0.0/16", ("10.0.0.1",)),
    ]
    assert merged.warnings == ('a.conf: "10.3.0.1/16": has host bits set, taken as 10.3.0.0/16',)


def test_a_cidr_may_be_in_only_one_of_several_specs() -> None:
    one = parse_spec('{"10.1.0.0/16": ["10.0.0.1"]}')
    with pytest.raises(SpecError) as caught:
        merge_specs({"a": one, "b": one, "c": one})
    assert caught.value.faults == (
        '"10.1.0.0/16": is in a and in b',
        '"10.1.0.0/16": is in b and in c',
    )
