"""Settings: flags and file, all faults at once, and the help."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit import pigeons
from vpcrouter.cli import daemon
from vpcrouter.config import settings as config
from vpcrouter.config.settings import Settings
from vpcrouter.errors import EX_CONFIG, ConfigError
from vpcrouter.model.spec import parse_spec
from vpcrouter.options.general import GENERAL, general_options, multi_options
from vpcrouter.plugins.contract import Plugin
from vpcrouter.plugins.registry import MONITORS, WATCHERS, PluginRef, Registry
from workers.configfile import ConfigFile
from workers.icmpecho import IcmpEcho
from workers.tcp import Tcp

PIGEONS = "tests.unit.pigeons"
"""The dotted path of a module, and by it of the class of its name."""
SPEC = '{"10.55.16.0/24": ["10.33.20.142"]}'


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "route-spec.conf"
    path.write_text(SPEC)
    return path


@pytest.fixture
def enough(spec_file: Path, tmp_path: Path) -> list[str]:
    """Flags that are enough to start with."""
    return ["-v", "vpc-1", "-f", str(spec_file), "--state_dir", str(tmp_path / "state")]


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    return tmp_path / "vpcrouter.ini"


def load(*arguments: str) -> Settings:
    return config.load("vpcrouter", arguments, None)


def faults_of(*arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*arguments)
    return list(caught.value.faults)


def tables_of(plugin: type[Any]) -> list[tuple[str, str]]:
    return [(plugin.name, option.name) for option in plugin.add_arguments()]


PLUGINS = [
    ref.load()
    for registry in (Registry.of(WATCHERS), Registry.of(MONITORS))
    for ref in map(registry.find, registry.targets)
    if ref.target.startswith("workers.")
]
PLUGIN_OPTIONS = {
    plugin.name: options
    for plugin in PLUGINS
    if issubclass(plugin, Plugin) and (options := list(plugin.add_arguments()))
} | {"multi": list(multi_options())}
MONITOR_NAMES = {"multi", *Registry.of(MONITORS).targets}


# What is promised to users: flag, section, name, text, value, default

PROMISED = [
    ("-m", GENERAL, "mode", "configfile", "configfile", "configfile"),
    ("-H", GENERAL, "health", "tcp", "tcp", "icmpecho"),
    ("-r", GENERAL, "region", "eu-west-1", "eu-west-1", None),
    ("-v", GENERAL, "vpc", "vpc-350d6a51", "vpc-350d6a51", None),
    ("-a", GENERAL, "address", "::1", "::1", "localhost"),
    ("-p", GENERAL, "port", "8080", 8080, 33289),
    ("", GENERAL, "api_hosts", "A.example,::1,b", ("a.example", "::1", "b"), ()),
    ("-l", GENERAL, "logfile", "/tmp/x.log", "/tmp/x.log", "-"),  # noqa: S108
    ("", GENERAL, "ignore_routes", "0.0.0.0/0,10.1.2.3", ("0.0.0.0/0", "10.1.2.3/32"), ()),
    ("", GENERAL, "route_recheck_interval", "1.5", 1.5, 30.0),
    ("", GENERAL, "delete_limit", "1", 1.0, 0.5),
    ("", GENERAL, "isolation_share", "0.7", 0.7, 0.5),
    ("", GENERAL, "flap_count", "0", 0, 5),
    ("", GENERAL, "flap_window_s", "90", 90.0, 600.0),
    ("", GENERAL, "ec2_burst", "200", 200, 50),
    ("", GENERAL, "ec2_rate", "20", 20, 5),
    ("", GENERAL, "silence_limit", "10", 10.0, 20.0),
    ("", GENERAL, "memory_limit", "512", 512, 1024),
    ("", GENERAL, "sandbox", "no", False, True),
    ("", GENERAL, "state_dir", "/tmp/state", "/tmp/state", ...),  # noqa: S108
    ("", GENERAL, "control_socket", "/tmp/c.sock", "/tmp/c.sock", ...),  # noqa: S108
    ("-f", "configfile", "file", ..., ..., None),
    ("", "icmpecho", "icmp_check_interval", "0.5", 0.5, 2.0),
    ("", "icmpecho", "icmp_check_timeout", "0.3", 0.3, None),
    ("", "icmpecho", "icmp_check_fall", "5", 5, 3),
    ("", "icmpecho", "icmp_check_rise", "4", 4, 2),
    ("", "icmpecho", "icmp_check_fastinter", "0.1", 0.1, None),
    ("", "tcp", "tcp_check_port", "80", 80, 22),
    ("", "tcp", "tcp_check_interval", "5", 5.0, 2.0),
    ("", "tcp", "tcp_check_timeout", "0.3", 0.3, None),
    ("", "tcp", "tcp_check_fall", "5", 5, 3),
    ("", "tcp", "tcp_check_rise", "4", 4, 2),
    ("", "tcp", "tcp_check_fastinter", "0.1", 0.1, None),
]
BY_NAME = pytest.mark.parametrize(
    ("flag", "section", "name", "text", "value", "default"), PROMISED, ids=[p[2] for p in PROMISED]
)


OF_API = ("api_token_file", "api_tls_cert", "api_tls_key")
"""These need files that are good: tests/process/test_security.py."""


def test_every_option_is_tried() -> None:
    declared = [(GENERAL, option.name) for option in general_options()]
    for plugin in (ConfigFile, IcmpEcho, Tcp):
        declared += tables_of(plugin)
    assert set(declared) == {(section, name) for _, section, name, *_ in PROMISED} | {
        (GENERAL, name) for name in ("verbose", *OF_API)
    }


@BY_NAME
def test_one_option(
    flag: str, section: str, name: str, text: Any, value: Any, default: Any,
    ini: Path, spec_file: Path, enough: list[str],
) -> None:  # fmt: skip
    """By its default, in the file, by its flags, and the flag beats the file."""
    if text is ...:
        text = value = str(spec_file)
    if default is not ... and f"--{name}" not in enough and flag not in enough:
        assert load(*enough).values[name] == default
    ini.write_text(f"[{section}]\n{name} = {text}\n")
    place = enough.index(flag) if flag in enough else None
    others = enough if place is None else enough[:place] + enough[place + 2 :]
    if name != "state_dir":
        assert load("--config", str(ini), *others).values[name] == value
    for each in (f"--{name}", *([flag] if flag else [])):
        assert load(*enough, each, text).values[name] == value
    ini.write_text(f"[{section}]\n{name} =\n")  # for most a fault, were it not for the flag
    assert load("--config", str(ini), *enough, f"--{name}", text).values[name] == value


@pytest.mark.parametrize(
    ("text", "flags", "value"),
    [
        (None, [], False),
        (None, ["--verbose"], True),
        ("yes", [], True),
        ("no", ["--verbose"], True),
    ],
)
def test_a_switch(
    text: str | None, flags: list[str], value: bool, ini: Path, enough: list[str]
) -> None:
    ini.write_text(f"[vpcrouter]\nverbose = {text}\n" if text else "")
    assert load("--config", str(ini), *enough, *flags).values["verbose"] is value


def test_what_else_settings_say(enough: list[str]) -> None:
    settings = load(*enough, "-H", "tcp")
    assert settings.watcher == PluginRef("configfile", "workers.configfile:ConfigFile")
    assert settings.monitors == (PluginRef("tcp", "workers.tcp:Tcp"),)
    assert settings.values["monitors"] == ("tcp",)
    assert settings.values["check"] is False
    shown = {name for _, section, name, *_ in PROMISED if section != "icmpecho"}
    shown |= {"verbose", *OF_API}
    assert set(settings.values["shown"]) == shown


def test_the_commented_file_names_every_option_and_is_good(ini: Path, enough: list[str]) -> None:
    shipped = (Path(__file__).parents[3] / "etc" / "vpcrouter.ini").read_text()
    declared = {GENERAL: list(general_options()), **PLUGIN_OPTIONS}
    for section, name in ((its, option.name) for its in declared for option in declared[its]):
        in_section = shipped.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
        assert f"\n#{name} =" in in_section, name
    uncommented = re.sub(rf"(?m)^#(?!{'|'.join(OF_API)})(?=\w+ =)", "", shipped)
    ini.write_text(uncommented)
    assert load("--config", str(ini), *enough).values["region"] == "us-east-1"


# Faults


def test_all_faults_at_once_each_with_file_section_and_option(ini: Path, enough: list[str]) -> None:
    ini.write_text(
        "[vpcrouter]\n"
        "prot = 80\n"
        "port = many\n"
        "delete_limit = 2\n"
        "health = pidgeon\n"
        "[tcp]\n"
        "tcp_check_port = 70000\n"
        "timeout = 3\n"
        "[tpc]\n"
        "x = 1\n"
        "[DEFAULT]\n"
        "y = 1\n"
    )
    found = faults_of("--config", str(ini), *enough, "--icmp_check_fall", "0", "--xyzzy", "eth0")
    assert sorted(found) == sorted(
        [
            f"{ini}: [vpcrouter] prot: unknown option; did you mean port?",
            f"{ini}: [vpcrouter] port: must be a whole number, not 'many'",
            f"{ini}: [vpcrouter] delete_limit: must be from 0 to 1, not '2'",
            "health pidgeon: unknown 'pidgeon'; available: " + ", ".join(sorted(MONITOR_NAMES)),
            f"{ini}: [tcp] tcp_check_port: must be from 1 to 65535, not '70000'",
            f"{ini}: [tcp] timeout: unknown option",
            f"{ini}: unknown section [tpc]; did you mean tcp?",
            f"{ini}: unknown section [DEFAULT]",
            "--icmp_check_fall: must be from 1 to 100, not '0'",
            "command line: unknown --xyzzy",
            "command line: unknown eth0",
        ]
    )


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        pytest.param(b"port = 1\n", ["no section headers", "line: 1"], id="no section"),
        pytest.param(b"[vpcrouter\nport = 1\n", ["no section headers", "line: 1"], id="bracket"),
        pytest.param(b"[vpcrouter]\nport\n", ["parsing errors", "[line 2]: 'port"], id="no value"),
        pytest.param(
            b"[vpcrouter]\nport = 1\nport = 2\n", ["[line 3]", "option 'port'"], id="option twice"
        ),
        pytest.param(
            b"[tcp]\n[vpcrouter]\n[tcp]\n", ["[line 3]", "section 'tcp'"], id="section twice"
        ),
        pytest.param(b"[vpcrouter]\nvpc = \xff\n", ["not UTF-8 text"], id="not UTF-8"),
        pytest.param(b"\x00\x01", ["no section headers"], id="binary"),
    ],
)
def test_a_broken_file_is_one_fault(content: bytes, fragments: Sequence[str], ini: Path) -> None:
    ini.write_bytes(content)
    (fault,) = faults_of("--config", str(ini))
    assert fault.startswith(f"{ini}: ")
    assert "\n" not in fault
    for fragment in fragments:
        assert fragment in fault


def test_a_missing_file_is_a_fault(ini: Path) -> None:
    assert faults_of("--config", str(ini)) == [f"{ini}: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (["--port"], "command line: argument -p/--port: expected one argument"),
        (["--verbose=1"], "command line: argument --verbose: ignored explicit argument '1'"),
    ],
)
def test_a_command_line_that_cannot_be_read_hides_no_faults_of_the_file_and_invents_none(
    flags: list[str], fault: str, ini: Path
) -> None:
    ini.write_text("[vpcrouter]\nprot = 80\n")
    assert sorted(faults_of("--config", str(ini), *flags)) == sorted(
        [f"{ini}: [vpcrouter] prot: unknown option; did you mean port?", fault]
    )


@pytest.mark.parametrize(
    ("flags", "fragment"),
    [
        (["--tcp_check_prt", "1"], "unknown --tcp_check_prt; did you mean --tcp_check_port?"),
        (["--tcp_check_p", "1"], "unknown --tcp_check_p"),
        (["surplus"], "unknown surplus"),
        (["-m", "tcp"], "mode tcp: unknown 'tcp'; available: "),
        (["-H", "configfile"], "health configfile: unknown 'configfile'; available: "),
        (["-H", "nowhere.at_all"], "health nowhere.at_all: nowhere.at_all:At_all does not load"),
        (["-m", PIGEONS], f"mode {PIGEONS}: {PIGEONS}:Pigeons is not a watcher"),
        (["-H", "workers.api"], "health workers.api: workers.api:Api is not a monitor"),
        (
            ["-H", "vpcrouter.routing.plan"],
            "health vpcrouter.routing.plan: vpcrouter.routing.plan:Plan is not a worker class",
        ),
        (["-m", ""], "--mode: must not be empty, not ''"),
        (
            ["--ignore_routes", "10.0.0.1,here"],
            "--ignore_routes: 'here' is neither an IP address nor a CIDR",
        ),
        (
            ["--logfile", "~nobody-of-this-name/x"],
            "--logfile: names a home directory that does not exist: '~nobody-of-this-name/x'",
        ),
        (["--state_dir", "~nobody-of-this-name"], "--state_dir: names a home directory"),
    ],
)
def test_one_fault(flags: list[str], fragment: str, enough: list[str]) -> None:
    found = faults_of(*enough, *flags)
    assert any(fragment in fault for fault in found), found


def test_needed_options(tmp_path: Path) -> None:
    found = faults_of("--state_dir", str(tmp_path))
    assert found == [
        "vpc: is needed: --vpc, or vpc in section [vpcrouter]",
        "file: is needed in mode configfile: --file, or file in section [configfile]",
    ]


@pytest.mark.parametrize(
    ("flags", "fragments"),
    [
        (
            ["--icmp_check_interval", "1", "--icmp_check_timeout", "1"],
            ["icmp_check_timeout (1 s)", "icmp_check_interval (1 s)"],
        ),
        (
            ["-H", "tcp", "--tcp_check_interval", "1", "--tcp_check_fastinter", "2"],
            ["tcp_check_fastinter (2 s)", "tcp_check_interval (1 s)"],
        ),
    ],
)
def test_relations_between_options(
    flags: list[str], fragments: list[str], enough: list[str]
) -> None:
    (fault,) = faults_of(*enough, *flags)
    for fragment in fragments:
        assert fragment in fault


def test_relations_of_a_monitor_not_chosen_do_not_matter(enough: list[str]) -> None:
    assert load(*enough, "--tcp_check_interval", "1", "--tcp_check_timeout", "2")


def test_the_faults_of_the_route_spec_are_told_with_its_file(
    spec_file: Path, enough: list[str]
) -> None:
    spec_file.write_text('{"10.1.0.0/16": [], "x": ["10.0.0.1"]}')
    assert faults_of(*enough) == [
        f'route spec {spec_file}: "10.1.0.0/16": has no hosts',
        f'route spec {spec_file}: "x": is not a CIDR',
    ]


# Plugins of others


def test_a_monitor_by_its_dotted_path(ini: Path, enough: list[str]) -> None:
    ini.write_text(f"[vpcrouter]\nhealth = {PIGEONS}\n[pigeons]\npigeons_feed = 7\n")
    settings = load("--config", str(ini), *enough)
    assert settings.monitors == (PluginRef("pigeons", f"{PIGEONS}:Pigeons"),)
    assert settings.values["monitors"] == ("pigeons",)
    assert settings.values["pigeons_feed"] == 7
    assert "pigeons_feed" in settings.values["shown"]
    assert "icmp_check_fall" not in settings.values["shown"]


def test_its_options_are_checked_like_ours(enough: list[str]) -> None:
    assert faults_of(*enough, "-H", PIGEONS, "--pigeons_feed", "10") == [
        "--pigeons_feed: must be from 1 to 9, not '10'"
    ]
    assert faults_of(*enough, "-H", PIGEONS, "--pigeons_feed", "1", "--pigeons_homing") == [
        "pigeons_feed is too little for homing"
    ]


def test_its_options_are_unknown_without_it(enough: list[str]) -> None:
    first, _ = faults_of(*enough, "--pigeons_feed", "1")
    assert first.startswith("command line: unknown --pigeons_feed")


def test_names_and_flags_already_taken_are_its_fault(
    enough: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pigeons, "Pigeons", pigeons.Greedy)
    taken = ("port", "greedy_file", "greedy_port", "check", "greedy_help", "monitors")
    assert faults_of(*enough, "-H", PIGEONS) == [
        f"plugin greedy: option {name} is already in use" for name in taken
    ]


# Help and check


def help_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        load(*arguments, "--help")
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_help_shows_every_option_with_default_and_unit_under_its_plugin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    groups = {
        title: " ".join(text.split())
        for title, text in re.findall(
            r"(?ms)^(general options|options of \w+):\n(.*?)(?=^\S|\Z)", help_of(capsys=capsys)
        )
    }
    declared = {"general options": list(general_options())}
    for section, options in PLUGIN_OPTIONS.items():
        declared[f"options of {section}"] = options
    assert groups.keys() == declared.keys()
    for title, options in declared.items():
        for option in options:
            unit = f" {option.kind.unit}" if option.kind.unit else ""
            if option.kind.is_switch and option.default:
                unit = " [no]"
            flags = ", ".join(flag + unit for flag in option.all_flags)
            assert f"{flags} {option.help} (default: {option.shown_default})" in groups[title]


@pytest.mark.parametrize("flags", [["-p", "x"], ["--nonsense"], ["--config", "/none"]])
def test_help_comes_whatever_else_is_wrong(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--icmp_check_interval SECONDS" in help_of(*flags, capsys=capsys)


def test_help_with_a_plugin_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of("-H", PIGEONS, capsys=capsys)
    assert "options of pigeons:" in text
    assert "--pigeons_feed GRAMS" in text
    assert "how much 100% of them eat (default: 5)" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load("--version")
    assert re.fullmatch(r"vpcrouter \d+\.\d+\.\d+\n", capsys.readouterr().out)


def run(*arguments: str) -> int:
    return daemon._main("vpcrouterd", arguments, None)


def test_check_of_good_settings(enough: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*enough, "--check") == 0
    assert capsys.readouterr() == ("configuration OK\n", "")


def test_check_of_bad_settings_lists_all_faults(
    enough: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*enough, "--check", "-p", "x", "--tcp_check_fall", "x") == EX_CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    assert sorted(err.splitlines()) == [
        "vpcrouterd: --port: must be a whole number, not 'x'",
        "vpcrouterd: --tcp_check_fall: must be a whole number, not 'x'",
    ]


def test_check_reads_the_route_spec_even_if_an_older_one_is_kept(
    enough: list[str], spec_file: Path
) -> None:
    ConfigFile(load(*enough).values).store().save(parse_spec(SPEC))
    spec_file.write_text("{")
    assert load(*enough)
    assert "bad JSON" in faults_of(*enough, "--check")[0]


def reload(*arguments: str) -> Settings:
    return config.load("vpcrouter", arguments, None, is_reload=True)


def test_a_log_file_that_cannot_be_written_stops_a_check_and_a_reload_and_no_start(
    enough: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    for path, said in (
        (tmp_path, "Is a directory"),
        (folder / "x.log", f"{folder} is not a directory"),
        (tmp_path / "route-spec.conf" / "x", "Not a directory"),
    ):
        flags = [*enough, "-l", str(path)]
        assert load(*flags).values["logfile"] == str(path)
        fault = f"logfile: {path}: {said}"
        assert faults_of(*flags, "--check") == [fault]
        with pytest.raises(ConfigError, match=re.escape(fault)):
            reload(*flags)


def test_a_log_folder_that_cannot_be_written_is_a_fault(
    enough: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    path = tmp_path / "x.log"
    said = f"logfile: {path}: cannot be created in {tmp_path}"
    assert faults_of(*enough, "-l", str(path), "--check") == [said]


def test_a_check_leaves_no_log_file(enough: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    flags = [*enough, "-l", str(path)]
    load(*flags, "--check")
    reload(*flags)
    assert not path.exists()
    path.touch()
    reload(*flags)
    reload(*enough, "-l", "-")
