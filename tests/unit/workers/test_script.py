"""The options of the script monitor."""

import pytest

from workers.script import Script


@pytest.mark.parametrize("text", ["", "''\"", "a 'b"])
def test_commands_that_are_none(text: str) -> None:
    convert = next(iter(Script.add_arguments())).kind.convert
    with pytest.raises(ValueError, match="must"):
        convert(text)
