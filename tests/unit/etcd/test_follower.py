"""Of what is in etcd and in the options of its watcher, what is taken and what is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vpcrouter.errors import SpecError
from vpcrouter.etcd.follower import ENDPOINTS, EtcdKeys, etcd_urls
from vpcrouter.model.spec import parse_spec
from workers.etcd import Etcd, of_key, of_prefix

KEY = "/vpcrouter/route_spec"
PREFIX = "/vpcrouter/routes/"
GOOD = ["10.33.20.1"]


@pytest.mark.parametrize(
    ("text", "has_tls", "urls"),
    [
        ("localhost", False, ["http://localhost:2379"]),
        ("etcd-1:23790, etcd-2", True, ["https://etcd-1:23790", "https://etcd-2:2379"]),
        ("https://etcd-1/", False, ["https://etcd-1:2379"]),
        ("[::1]:23790", False, ["http://[::1]:23790"]),
        ("etcd-1,http://etcd-1:2379", False, ["http://etcd-1:2379"]),
    ],
)
def test_endpoints(text: str, has_tls: bool, urls: list[str]) -> None:
    assert etcd_urls(ENDPOINTS.convert(text), has_tls) == tuple(urls)


@pytest.mark.parametrize(
    "text", ["", ",", "a b:1", "ftp://a", "http://a/v3", "a:99999", "a:b", "[::1", "http://"]
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|neither"):
        ENDPOINTS.convert(text)


def test_a_password_among_the_endpoints_is_refused() -> None:
    with pytest.raises(ValueError, match="contains a user"):
        ENDPOINTS.convert("http://root:secret@etcd-1")


def test_an_endpoint_without_tls_where_it_is_wanted() -> None:
    with pytest.raises(ValueError, match="http://a:2379 does not use TLS"):
        etcd_urls(("http://a",), True)


@pytest.mark.parametrize(
    ("prefix", "end"), [("/a/", b"/a0"), ("a", b"b"), ("/é", b"/\xc3\xaa"), ("~", b"\x7f")]
)
def test_a_prefix_ends_where_no_key_can_begin_with_it(prefix: str, end: bytes) -> None:
    keys = EtcdKeys.below(prefix)
    assert (keys.first, keys.end) == (prefix.encode(), end)
    assert keys.first < keys.first + b"\xff" < end


def entries(values: Mapping[str, Any]) -> dict[bytes, bytes]:
    """What etcd holds; text as it is, anything else as JSON."""
    return {
        f"{PREFIX}{rest}".encode(): (
            value if isinstance(value, str) else json.dumps(value)
        ).encode()
        for rest, value in values.items()
    }


def test_a_key_for_each_cidr() -> None:
    found = of_prefix(PREFIX, entries({"10.1.0.0/16": GOOD, "10.2.3.4/16": ["10.33.20.2"]}))
    spec = parse_spec(found)
    assert spec.routes == {"10.1.0.0/16": ("10.33.20.1",), "10.2.0.0/16": ("10.33.20.2",)}
    assert "host bits" in spec.warnings[0]


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({}, [f"{PREFIX}: no key begins with it; an empty route spec would delete all"]),
        (
            {"10.1.0.0/16": "[", "10.2.0.0/16": {"a": 1}, "10.3.0.0/16": GOOD},
            [f"{PREFIX}10.1.0.0/16: bad JSON", f"{PREFIX}10.2.0.0/16: needs a list of hosts"],
        ),
        ({"10.1.0.0/16": ["router-1"]}, [f'{PREFIX}10.1.0.0/16: host 1, "router-1", is not an IP']),
        ({"10.1.0.0/16": []}, [f"{PREFIX}10.1.0.0/16: has no hosts"]),
        ({"10.1.0.0/16": "[" * 100_000}, [f"{PREFIX}10.1.0.0/16: bad JSON"]),
        ({"10.1.0.0%2F16": GOOD}, [f"{PREFIX}10.1.0.0%2F16: is not a CIDR"]),
        ({"10.1.0.0_16": GOOD}, [f"{PREFIX}10.1.0.0_16: is not a CIDR"]),
        ({"": GOOD}, [f"{PREFIX}: is not a CIDR"]),
        (
            {"10.1.0.0/16": GOOD, "10.1.0.1/16": GOOD},
            [f'{PREFIX}: "10.1.0.1/16": is the same CIDR as "10.1.0.0/16"'],
        ),
    ],
)
def test_keys_that_are_refused_name_themselves(values: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(SpecError) as refused:
        of_prefix(PREFIX, entries(values))
    assert len(refused.value.faults) == len(faults)
    for fault, beginning in zip(refused.value.faults, faults, strict=True):
        assert fault.startswith(beginning)


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(SpecError, match=r"/vpcrouter/routes/\\xff: is not a CIDR"):
        of_prefix(
            PREFIX, {PREFIX.encode() + b"\xff": b'["10.33.20.1"]', **entries({"10.1.0.0/16": GOOD})}
        )


def test_one_key_with_all() -> None:
    value = json.dumps({"10.1.0.0/16": GOOD}).encode()
    assert of_key(KEY, {KEY.encode(): value}) == value


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({}, f"{KEY}: there is no such key"),
        ({KEY.encode(): b""}, f"{KEY}: bad JSON"),
        ({KEY.encode(): b"{}"}, f"{KEY}: the route spec is empty"),
        ({KEY.encode(): b"\xff"}, f"{KEY}: bad JSON"),
    ],
)
def test_one_key_that_is_refused_names_itself(found: dict[bytes, bytes], fault: str) -> None:
    with pytest.raises(SpecError) as refused:
        of_key(KEY, found)
    assert refused.value.faults[0].startswith(fault)


# Options


def values(**given: object) -> dict[str, Any]:
    return {option.name: option.default for option in Etcd.add_arguments()} | given


def faults_of(**given: object) -> list[str]:
    return list(Etcd.check_arguments(values(**given)))


def test_good_options(tmp_path: Path) -> None:
    assert faults_of(etcd_spec_key=KEY) == []
    assert faults_of(etcd_spec_prefix=PREFIX) == []
    password = tmp_path / "password"
    password.write_text("secret\n")
    assert faults_of(etcd_spec_key=KEY, etcd_user="root", etcd_password_file=str(password)) == []


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "either etcd_spec_key or etcd_spec_prefix is needed"),
        ({"etcd_spec_key": KEY, "etcd_spec_prefix": PREFIX}, "and not both"),
        ({"etcd_spec_prefix": "/routes"}, "etcd_spec_prefix: must end with /"),
        ({"etcd_user": "root"}, "etcd_user and etcd_password_file must be given together"),
        ({"etcd_tls_key": "/x"}, "etcd_tls_cert and etcd_tls_key must be given together"),
        (
            {"etcd_user": "root", "etcd_password_file": "/nowhere/x"},
            "/nowhere/x cannot be read: No such file or directory",
        ),
        ({"etcd_tls_ca": "/nowhere/ca"}, "the CA /nowhere/ca cannot be used: No such file"),
        (
            {"etcd_tls_cert": "/nowhere/c", "etcd_tls_key": "/nowhere/k"},
            "the certificate /nowhere/c with the key /nowhere/k cannot be used: No such file",
        ),
        (
            {"etcd_endpoints": ("http://a",), "etcd_tls_ca": "/x"},
            "etcd_endpoints: http://a:2379 does not use TLS",
        ),
    ],
)
def test_bad_options(given: dict[str, Any], fault: str) -> None:
    if "etcd_spec_prefix" not in given and given:
        given = {"etcd_spec_key": KEY, **given}
    (found,) = faults_of(**given)
    assert fault in found


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"\xff\xfe")
    path = str(rubbish)
    tls = {"etcd_tls_ca": path}
    assert "cannot be used" in faults_of(etcd_spec_key=KEY, **tls)[0]
    tls = {"etcd_tls_cert": path, "etcd_tls_key": path}
    assert "cannot be used" in faults_of(etcd_spec_key=KEY, **tls)[0]
    login = {"etcd_user": "root", "etcd_password_file": path}
    assert "not UTF-8" in faults_of(etcd_spec_key=KEY, **login)[0]


def test_no_password_is_ever_shown(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    watcher = Etcd(values(etcd_spec_key=KEY, etcd_user="root", etcd_password_file=str(password)))
    assert "secret" not in json.dumps(watcher.get_info())
    assert watcher.origin == f"etcd {KEY}"
