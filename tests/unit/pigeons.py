"""A monitor of somebody else's, found by its dotted path."""

from collections.abc import Iterable

from vpcrouter.plugin import CIDRS, SWITCH, TEXT, Monitor, Option, Values, whole


class Pigeons(Monitor):
    name = "pigeons"
    version = "1"

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option("pigeons_feed", whole(1, 9, "GRAMS"), 5, "how much 100% of them eat")
        yield Option("pigeons_homing", SWITCH, False, "whether they come back")

    @classmethod
    def check_arguments(cls, values: Values) -> Iterable[str]:
        if values["pigeons_homing"] and values["pigeons_feed"] < 5:
            yield "pigeons_feed is too little for homing"


class Greedy(Monitor):
    """Wants names and flags that others have."""

    name = "greedy"
    version = "1"

    @classmethod
    def add_arguments(cls) -> Iterable[Option]:
        yield Option("port", TEXT, None, "the API's")
        yield Option("greedy_file", TEXT, None, "the watcher's flag", ("-f", "--greedy_file"))
        yield Option("greedy_port", TEXT, None, "a flag with another's name", ("--port",))
        yield Option("check", TEXT, None, "the program's")
        yield Option("greedy_help", TEXT, None, "the program's flag", ("-h",))
        yield Option("monitors", TEXT, None, "what is kept beside the options")
        yield Option("greedy_own", CIDRS, (), "its own")
