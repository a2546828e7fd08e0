"""setup.cfg bounds what we override privately: a new release is tried before it is let in."""

from configparser import ConfigParser
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from tests.architecture import ROOT

OVERRIDDEN = ("waitress", "supervisor", "botocore")


def requirements() -> dict[str, Requirement]:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split()
    return {each.name: each for each in map(Requirement, lines)}


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_it_is_bounded_below_what_was_never_tried(name: str) -> None:
    specifier = requirements()[name].specifier
    assert {each.operator for each in specifier} == {">=", "<"}
    assert specifier.contains(version(name)), f"the tests are run with {name} {version(name)}"
