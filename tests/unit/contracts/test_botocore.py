"""botocore: what `vpcrouter.aws` overrides of its parsers, its HTTP session and its way to
credentials, partly private."""

import inspect
import re
from typing import Any

import botocore.session
from botocore import httpsession
from botocore.model import Shape, StructureShape
from botocore.parsers import EC2QueryParser, ResponseParserFactory
from botocore.signers import RequestSigner

from tests.unit.contracts.relied_on import Relied, check_names, each
from vpcrouter.aws.credentials import CredentialChain, CurrentCredentials
from vpcrouter.aws.deadline import TimedResponse, limit_answers
from vpcrouter.aws.parsing import UNUSUAL, Ec2Parser, Parsers

PARSER = "vpcrouter.aws.parsing.Ec2Parser"
DEADLINE = "vpcrouter.aws.deadline"


@each(
    Relied(EC2QueryParser._parse_xml_string_to_dom, ("self", "xml_string"), PARSER),  # type: ignore[attr-defined]
    Relied(EC2QueryParser._handle_structure, ("self", "shape", "node"), PARSER),  # type: ignore[attr-defined]
    Relied(EC2QueryParser._parse_shape, ("self", "shape", "node"), PARSER),  # type: ignore[attr-defined]
    Relied(
        ResponseParserFactory.create_parser,
        ("self", "protocol_name"),
        "vpcrouter.aws.parsing.Parsers",
    ),
)
def test_takes_what_we_give(relied: Relied) -> None:
    relied.check()


def test_has_the_names_that_we_use() -> None:
    check_names(EC2QueryParser, ("DEFAULT_ENCODING",), PARSER)
    check_names(Shape, ("serialization", "metadata"), PARSER)
    check_names(Shape("Name", {"type": "string"}), ("type_name",), PARSER)
    check_names(StructureShape, ("members", "is_tagged_union"), PARSER)


def test_a_structure_means_nothing_but_what_we_look_at() -> None:
    """`UNUSUAL` are the ways to write a member that we leave to botocore; is there a new one?"""
    source = inspect.getsource(EC2QueryParser._handle_structure)  # type: ignore[attr-defined]
    source += inspect.getsource(EC2QueryParser._member_key_name)  # type: ignore[attr-defined]
    read = set(re.findall(r"serialization(?:\.get\(|\[)\s*['\"](\w+)", source))
    assert read, f"botocore reads how a member is written elsewhere: look at {PARSER}"
    assert read <= UNUSUAL | {"name"}, f"botocore knows {read}: leave what is new to it in UNUSUAL"


def test_a_session_parses_by_the_factory_that_it_is_given() -> None:
    session = botocore.session.get_session()
    session.register_component("response_parser_factory", factory := Parsers())
    assert session.get_component("response_parser_factory") is factory
    client = session.create_client(
        "ec2",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106
    )
    protocol = client.meta.service_model.resolved_protocol
    assert protocol == "ec2", f"EC2 is spoken to by {protocol} now, which {PARSER} does not parse"
    assert isinstance(factory.create_parser(protocol), Ec2Parser)


def test_the_answers_of_a_client_can_be_limited() -> None:
    """The private ways to its connections, and that these make answers of the class we give."""
    client: Any = botocore.session.get_session().create_client(
        "ec2",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106
    )
    check_names(client._endpoint.http_session, ("_pool_classes_by_scheme", "_manager"), DEADLINE)
    limit_answers(client._endpoint.http_session)
    manager = client._endpoint.http_session._get_connection_manager("https://ec2/")
    for scheme in ("http", "https"):
        connection = manager.connection_from_url(f"{scheme}://127.0.0.1:1/")._get_conn()
        assert connection.response_class is TimedResponse
        connection.close()
        assert connection.response_class is TimedResponse, "botocore sets it back"
    source = inspect.getsource(httpsession.URLLib3Session)
    assert "proxy_manager.pool_classes_by_scheme = self._pool_classes_by_scheme" in source


def test_a_session_finds_credentials_by_the_chain_that_it_is_given() -> None:
    session = botocore.session.get_session()
    session.register_component("credential_provider", CredentialChain(session, "us-east-1"))
    assert isinstance(session.get_credentials(), CurrentCredentials)
    assert "get_frozen_credentials" in inspect.getsource(RequestSigner.get_auth_instance), (
        "requests are signed with other credentials than those of get_frozen_credentials"
    )
