"""Parses EC2's answers without delaying a route that has to be moved.

In slices, and by content: docs/decisions/0006-parsing-ec2-in-slices.md.
"""

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from botocore.model import Shape, StructureShape
from botocore.parsers import EC2QueryParser, ResponseParserError, ResponseParserFactory

SLICE_BYTES = 16 * 1024
UNUSUAL = frozenset({"location", "eventheader", "xmlAttribute", "flattened"})
"""Members with these serializations are not plain elements of their structure."""

ERRORS = b"<Errors>"
ERROR_STARTS_WITHIN = 200
FIRST_ERROR_STATUS = 300

_Members = Mapping[str, tuple[str, Shape]]
"""A structure's members, by the names of their elements."""


class Ec2Parser(EC2QueryParser):
    """botocore's parser, with faster versions of two of its private methods."""

    def __init__(self) -> None:
        super().__init__()
        self._members: dict[str, _Members | None] = {}

    def parse(self, response: Any, shape: Shape) -> Any:
        """Raises ResponseParserError for an error that comes with the status of success, which
        botocore would take for an empty answer: a change that was refused, for one accepted."""
        start = response["body"][:ERROR_STARTS_WITHIN]
        if response["status_code"] < FIRST_ERROR_STATUS and ERRORS in start:
            raise ResponseParserError(f"an error with status {response['status_code']}: {start!r}")
        return super().parse(response, shape)

    def _parse_xml_string_to_dom(self, xml_string: bytes) -> Element:
        parser = XMLParser(target=TreeBuilder(), encoding=self.DEFAULT_ENCODING)  # noqa: S314
        try:
            for start in range(0, len(xml_string), SLICE_BYTES):
                parser.feed(xml_string[start : start + SLICE_BYTES])
            root: Element = parser.close()
        except ParseError:
            root = super()._parse_xml_string_to_dom(xml_string)  # type: ignore[misc]  # says why
        return root

    def _handle_structure(self, shape: StructureShape, node: Any) -> Any:
        if shape.name not in self._members:
            self._members[shape.name] = _plain_members(shape)
        members = self._members[shape.name]
        parsed = None if members is None else self._parse_members(members, node)
        return super()._handle_structure(shape, node) if parsed is None else parsed  # type: ignore[misc]

    def _parse_members(self, members: _Members, node: Any) -> dict[str, Any] | None:
        """None where elements are repeated; botocore's own method handles those."""
        if isinstance(node, list):
            return None
        parsed: dict[str, Any] = {}
        for element in node:
            member = members.get(element.tag.rpartition("}")[2])
            if member is None:
                continue
            name, shape = member
            if name in parsed:
                return None
            if shape.type_name == "string":
                parsed[name] = element.text or ""
            else:
                parsed[name] = self._parse_shape(shape, element)  # type: ignore[attr-defined]
        return parsed


def _plain_members(shape: StructureShape) -> _Members | None:
    """None for a structure that has more than plain elements."""
    is_plain = not shape.is_tagged_union and not shape.metadata.get("exception")
    if not is_plain or any(m.serialization.keys() & UNUSUAL for m in shape.members.values()):
        return None
    return {m.serialization.get("name", name): (name, m) for name, m in shape.members.items()}


class Parsers(ResponseParserFactory):
    """botocore's parsers, except for EC2."""

    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "ec2":
            return Ec2Parser()
        return super().create_parser(protocol_name)
