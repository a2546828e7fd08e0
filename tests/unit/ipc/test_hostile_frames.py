"""A frame names message types and nothing else, and can't change them."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.process.rogue_frames import call, named, plain, touching
from vpcrouter.config.settings import Settings
from vpcrouter.errors import ChannelError
from vpcrouter.ipc.channel import ALLOWED, SETTINGS_TYPES, _unpickle
from vpcrouter.model import messages, spec
from vpcrouter.plugins.registry import PluginRef

MODULES = (messages, spec)
FOREIGN = sorted(
    (module.__name__, name)
    for module in MODULES
    for name, found in vars(module).items()
    if callable(found) and getattr(found, "__module__", "") != module.__name__
)
SETTABLE = {"x": 1}


def test_code_in_a_field_name_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "ran"
    with pytest.raises(ChannelError, match="dataclass is not a message type"):
        _unpickle(touching(path))
    assert not path.exists()


def test_what_the_modules_import_is_known() -> None:
    assert ("vpcrouter.model.messages", "dataclass") in FOREIGN
    assert ("vpcrouter.model.messages", "RouteSpec") in FOREIGN


@pytest.mark.parametrize(("module", "name"), FOREIGN)
def test_what_the_modules_import_is_refused(module: str, name: str) -> None:
    with pytest.raises(ChannelError, match="is not a message type"):
        _unpickle(pickle.PROTO + b"\x04" + named(name, module) + pickle.STOP)


@pytest.mark.parametrize("of", [*sorted(ALLOWED), *sorted(SETTINGS_TYPES)], ids=str)
def test_what_is_allowed_cannot_be_changed(of: tuple[str, str]) -> None:
    module, name = of
    for state in (SETTABLE, (None, SETTABLE)):
        body = pickle.PROTO + b"\x04" + named(name, module) + plain(state) + pickle.BUILD + b"."
        with pytest.raises(ChannelError, match="cannot unpickle"):
            _unpickle(body)
    found: Any = {"Settings": Settings, "PluginRef": PluginRef}.get(name) or ALLOWED[of]
    assert not hasattr(found, "x")


def test_hosts_that_all_readers_share_cannot_be_changed() -> None:
    hosts = messages.hosts_of("10.9.8.7")
    changed = call(named("hosts_of"), plain("10.9.8.7")) + plain({"text": "x"}) + pickle.BUILD
    with pytest.raises(ChannelError, match="hosts cannot be changed"):
        _unpickle(pickle.PROTO + b"\x04" + changed + pickle.STOP)
    assert hosts.text == "10.9.8.7"


def test_an_envelope_without_fields_is_refused() -> None:
    bare = named("Envelope") + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    with pytest.raises(ChannelError, match="cannot unpickle"):
        _unpickle(pickle.PROTO + b"\x04" + bare + pickle.STOP)
