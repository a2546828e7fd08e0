"""What is made of the option declarations is not stale."""

from docs import generate


def test_configuration_md() -> None:
    assert generate.PAGE.read_text() == generate.page(), "run: make docs"


def test_vpcrouter_ini() -> None:
    assert generate.INI.read_text() == generate.ini(), "run: make docs"
