"""What AWS answers is parsed in slices: a page of routes takes 20 ms in one piece, in which no
other thread runs, not even one with a route to move.
"""

from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from botocore.parsers import EC2QueryParser, ResponseParserFactory

SLICE_BYTES = 16 * 1024


class _InSlices(EC2QueryParser):
    def _parse_xml_string_to_dom(self, xml_string: bytes) -> Element:
        parser = XMLParser(target=TreeBuilder(), encoding=self.DEFAULT_ENCODING)  # noqa: S314
        try:
            for start in range(0, len(xml_string), SLICE_BYTES):
                parser.feed(xml_string[start : start + SLICE_BYTES])
            root: Element = parser.close()
        except ParseError:
            root = super()._parse_xml_string_to_dom(xml_string)  # type: ignore[misc]  # says why
        return root


class Parsers(ResponseParserFactory):
    """botocore's, but for EC2's."""

    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "ec2":
            return _InSlices()
        return super().create_parser(protocol_name)
