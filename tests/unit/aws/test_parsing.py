"""Answers are what botocore makes of them, and are parsed in slices."""

from types import SimpleNamespace
from typing import Any
from xml.etree.ElementTree import XMLParser, fromstring

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.model import ShapeResolver, StructureShape
from botocore.parsers import EC2QueryParser, ResponseParserError

from tests.bench.instant_ec2 import answer_of_tables
from tests.bench.large import World
from vpcrouter import __version__
from vpcrouter.aws import parsing as aws_parsing
from vpcrouter.aws import session as aws

EC2 = botocore.session.get_session().get_service_model("ec2")
OUTPUT: Any = EC2.operation_model("DescribeRouteTables").output_shape


def response(body: bytes) -> dict[str, Any]:
    return {"body": body, "headers": {}, "status_code": 200}


def test_an_answer_is_what_botocore_makes_of_it() -> None:
    body = answer_of_tables(World(100, 20, 40))
    assert len(body) > 10 * aws_parsing.SLICE_BYTES
    ours = aws_parsing.Parsers().create_parser("ec2")
    assert ours.parse(response(body), OUTPUT) == EC2QueryParser().parse(response(body), OUTPUT)


def xml_of(shape: Any, name: str) -> str:
    """An answer's element that has every member there may be, and lists of two."""
    if shape.type_name == "structure":
        inside = "".join(
            xml_of(member, member.serialization.get("name", key))
            for key, member in shape.members.items()
        )
    elif shape.type_name == "list":
        inside = 2 * xml_of(shape.member, shape.member.serialization.get("name", "item"))
    else:
        samples = {"boolean": "true", "integer": "7", "timestamp": "2026-01-02T03:04:05Z"}
        inside = samples.get(shape.type_name, f"some {name}")
    return f"<{name}>{inside}</{name}>"


@pytest.mark.parametrize(
    "operation",
    [
        "DescribeRouteTables",
        "DescribeSubnets",
        "DescribeNetworkInterfaces",
        "DescribeInstanceStatus",
        "DescribeInstances",
        "CreateRoute",
        "ReplaceRoute",
        "DeleteRoute",
    ],
)
def test_whatever_can_be_in_an_answer_is_parsed(operation: str) -> None:
    shape: Any = EC2.operation_model(operation).output_shape
    body = "<Answer/>" if shape is None else xml_of(shape, f"{operation}Response")
    by_botocore = EC2QueryParser().parse(response(body.encode()), shape)
    assert aws_parsing.Ec2Parser().parse(response(body.encode()), shape) == by_botocore
    assert shape is None or by_botocore.keys() > {"ResponseMetadata"}


TWICE = 2 * "<associationState><state>failed</state></associationState>"
TABLES = "<Answer{}><routeTableSet>{}</routeTableSet>{}</Answer>"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(TABLES.format("", "", ""), id="nothing"),
        pytest.param(TABLES.format("", "<item/>", "<requestId>r</requestId>"), id="empty"),
        pytest.param(
            TABLES.format(' xmlns="http://ec2/"', "<item><vpcId/></item>", ""), id="space"
        ),
        pytest.param(
            TABLES.format("", "<item><vpcId>a</vpcId><new><x>1</x></new></item>", "<more/>"),
            id="elements that are new",
        ),
        pytest.param(
            TABLES.format("", "<item><vpcId>a</vpcId><tagSet/><tagSet><item/></tagSet></item>", ""),
            id="a list that is repeated",
        ),
        pytest.param(
            TABLES.format(
                "", f"<item><associationSet><item>{TWICE}</item></associationSet></item>", ""
            ),
            id="a structure that is repeated",
        ),
        pytest.param(TABLES.format("", "", "<routeTableSet/>"), id="an empty one that is repeated"),
        pytest.param("<html>busy</html>", id="something else"),
    ],
)
def test_unusual_answers_are_what_botocore_makes_of_them(body: str) -> None:
    def parsed(parser: EC2QueryParser) -> Any:
        try:
            return parser.parse(response(body.encode()), OUTPUT)
        except Exception as error:
            return repr(error)

    assert parsed(aws_parsing.Ec2Parser()) == parsed(EC2QueryParser())


def test_members_that_are_not_plain_are_botocores_business() -> None:
    def shape(**member: Any) -> StructureShape:
        model = {"type": "structure", "members": {"A": {"shape": "Text", **member}}}
        known: Any = {"Of": model, "Text": {"type": "string"}}
        return StructureShape("Of", model, ShapeResolver(known))

    node = fromstring('<Of b="of an attribute"><A>of an element</A></Of>')  # noqa: S314
    for each in (shape(), shape(xmlAttribute=True, locationName="b"), shape(location="header")):
        by_botocore = EC2QueryParser()._handle_structure(each, node)  # type: ignore[attr-defined]
        assert aws_parsing.Ec2Parser()._handle_structure(each, node) == by_botocore


def test_what_is_no_answer_is_told_as_botocore_tells_it() -> None:
    ours = aws_parsing.Parsers().create_parser("ec2")
    with pytest.raises(ResponseParserError, match="Unable to parse response"):
        ours.parse(response(b"<a><b></a>"), OUTPUT)


@pytest.mark.parametrize("operation", ["DescribeSubnets", "ReplaceRoute"])
def test_an_error_with_the_status_of_success_is_no_success(operation: str) -> None:
    shape: Any = EC2.operation_model(operation).output_shape
    body = b"<Response><Errors><Error><Code>InternalError</Code></Error></Errors></Response>"
    with pytest.raises(ResponseParserError, match=r"an error with status 200: .*InternalError"):
        aws_parsing.Ec2Parser().parse(response(body), shape)
    refused = {**response(body), "status_code": 500}
    assert aws_parsing.Ec2Parser().parse(refused, shape)["Error"]["Code"] == "InternalError"


def test_other_services_answers_are_botocores_business() -> None:
    assert not isinstance(aws_parsing.Parsers().create_parser("json"), EC2QueryParser)


def test_a_client_says_who_it_is_and_parses_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """It rests on a method of botocore's that is private."""
    fed: list[int] = []

    def counting(**options: Any) -> Any:
        parser = XMLParser(**options)  # noqa: S314

        def feed(data: bytes) -> None:
            fed.append(len(data))
            parser.feed(data)

        return SimpleNamespace(feed=feed, close=parser.close)

    monkeypatch.setattr(aws_parsing, "XMLParser", counting)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = aws.make_client(aws.open_session("us-east-1"), "ec2", attempts=1)
    body = answer_of_tables(World(100, 20, 40))

    def answer(request: Any, **_: Any) -> AWSResponse:
        assert request.headers["User-Agent"].decode().startswith(f"vpcrouter/{__version__} ")
        raw = SimpleNamespace(stream=lambda: [body])
        return AWSResponse(request.url, 200, HTTPHeaders(), raw)

    client.meta.events.register("before-send.ec2.DescribeRouteTables", answer)
    tables = client.describe_route_tables()["RouteTables"]
    assert (len(tables), len(tables[0]["Routes"])) == (20, 100)
    assert sum(fed) == len(body)
    assert max(fed) <= aws_parsing.SLICE_BYTES
