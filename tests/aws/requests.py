"""Whether requests are what botocore's model of their service allows.

EC2 is lenient with some of what it does not know and refuses other things; moto ignores most.
The protocols are those of botocore: `ec2`, whose parameters are flat, and `json`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

from .calls import Call

MODELS = {"ec2": "ec2", "AmazonSQS": "sqs"}
"""botocore's names of the services."""
BOOLEANS = {"true": True, "false": False}


def mistakes(call: Call) -> list[str]:
    """What is wrong with the request; one sentence for each thing."""
    if call.service not in MODELS:
        return [f"{call.action}: service or version {call.service!r} is not known"]
    model = _model(MODELS[call.service])
    if call.action not in model.operation_names:
        return [f"{call.action}: {model.service_name} has no such action"]
    shape: Any = model.operation_model(call.action).input_shape
    found: list[str] = []
    params = call.params if call.speaks_json else _structure(_tree(call.params), shape, "", found)
    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        found += report.generate_report().splitlines()
    return [f"{call.action}: {mistake}" for mistake in found]


@cache
def _model(name: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(name)


def _tree(params: Mapping[str, str]) -> dict[str, Any]:
    """The flat parameters by the parts of their names; "" is the value of a name with parts."""
    tree: dict[str, Any] = {}
    for name, value in params.items():
        node = tree
        for part in name.split("."):
            node = node.setdefault(part, {})
        node[""] = value
    return tree


def _structure(
    node: Mapping[str, Any], shape: StructureShape, where: str, found: list[str]
) -> dict[str, Any]:
    names = {_written(name, member): name for name, member in shape.members.items()}
    found.extend(f"unknown parameter {where}{each}" for each in node if each not in names)
    return {
        names[each]: _value(value, shape.members[names[each]], f"{where}{each}", found)
        for each, value in node.items()
        if each in names
    }


def _written(name: str, member: Shape) -> str:
    """A member's name in a request of the protocol `ec2`."""
    written = member.serialization.get("queryName") or member.serialization.get("name", name)
    return str(written[0].upper() + written[1:])


def _value(node: Mapping[str, Any], shape: Shape, where: str, found: list[str]) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(node, shape, f"{where}.", found)
    if isinstance(shape, ListShape):
        return list(_items(node, shape, where, found))
    found.extend(f"unknown parameter {where}.{each}" for each in node if each)
    return _converted(str(node.get("", "")), shape.type_name)


def _items(
    node: Mapping[str, Any], shape: ListShape, where: str, found: list[str]
) -> Iterable[Any]:
    numbers = [str(number) for number in range(1, len(node) + 1)]
    if set(node) != set(numbers):
        found.append(f"{where} is not numbered from 1 on")
    for each in numbers:
        if each in node:
            yield _value(node[each], shape.member, f"{where}.{each}", found)


def _converted(text: str, kind: str) -> Any:
    """The value of the text; the text itself, which the validator refuses, if it has none."""
    return next(_values(text, kind), text)


def _values(text: str, kind: str) -> Iterator[Any]:
    with suppress(ValueError, KeyError):
        if kind in ("integer", "long"):
            yield int(text)
        elif kind in ("float", "double"):
            yield float(text)
        elif kind == "boolean":
            yield BOOLEANS[text]
        elif kind == "blob":
            yield base64.b64decode(text, validate=True)
