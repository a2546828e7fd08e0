"""What is said of commands between a worker and its keeper, and what commands are told."""

from vpcrouter.linux.command_client import environment
from vpcrouter.linux.command_server import End, Ended, Order


def test_messages_survive_their_way() -> None:
    order = Order(7, ("a", "b c", "ä"), {"X": "y"}, 0.5)
    assert Order.decode(order.encode()) == order
    ended = Ended(7, End.SIGNAL, 9, "\x00\ufffd" * 1000)
    assert Ended.decode(ended.encode()) == ended


def test_the_environment_has_no_secrets() -> None:
    source = {"PATH": "/bin", "HOME": "/", "AWS_SECRET_ACCESS_KEY": "x", "DB_PASSWORD": "x"}
    assert environment(source, "10.0.0.1") == {
        "PATH": "/bin",
        "HOME": "/",
        "VPCROUTER_HOST": "10.0.0.1",
    }
