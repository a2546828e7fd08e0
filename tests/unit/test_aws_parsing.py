"""Answers parsed in slices are what they were, and are parsed in slices."""

from types import SimpleNamespace
from typing import Any
from xml.etree.ElementTree import XMLParser

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.model import Shape
from botocore.parsers import EC2QueryParser, ResponseParserError

from tests.bench.instant_ec2 import answer_of_tables
from tests.bench.large import World
from vpcrouter import __version__, aws, aws_parsing

OPERATION = (
    botocore.session.get_session().get_service_model("ec2").operation_model("DescribeRouteTables")
)
assert OPERATION.output_shape is not None
OUTPUT: Shape = OPERATION.output_shape


def response(body: bytes) -> dict[str, Any]:
    return {"body": body, "headers": {}, "status_code": 200}


def test_an_answer_is_what_botocore_makes_of_it() -> None:
    body = answer_of_tables(World(100, 20, 40))
    assert len(body) > 10 * aws_parsing.SLICE_BYTES
    ours = aws_parsing.Parsers().create_parser("ec2")
    assert ours.parse(response(body), OUTPUT) == EC2QueryParser().parse(response(body), OUTPUT)


def test_what_is_no_answer_is_told_as_botocore_tells_it() -> None:
    ours = aws_parsing.Parsers().create_parser("ec2")
    with pytest.raises(ResponseParserError, match="Unable to parse response"):
        ours.parse(response(b"<a><b></a>"), OUTPUT)


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
