"""What the pages and the files for deployment name is there, and does what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs as abilities
from tests.needs import needs
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
IN_REPOSITORY = re.compile(r"(?<![\w/.-])(?:etc|docs|workers|tests|examples)/[\w./-]*\w")
CONTAINERFILE = ROOT / "etc" / "Containerfile"
LOGROTATE = ROOT / "etc" / "vpcrouter.logrotate"
NET_RAW = 1 << 13  # linux/capability.h


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    targets = [page.parent / link for link in LINK.findall(text)]
    targets += [ROOT / name for name in IN_REPOSITORY.findall(text)]
    assert [str(target) for target in targets if not target.exists()] == []


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions: their word and the rest, continued lines joined."""
    text = CONTAINERFILE.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def of(word: str) -> list[str]:
    return [rest for its, rest in instructions() if its == word]


def test_containerfile_copies_what_is_there() -> None:
    assert {word for word, _ in instructions()} <= {
        *("FROM", "COPY", "RUN", "ENV", "VOLUME", "ENTRYPOINT", "CMD")
    }
    copied = {name for rest in of("COPY") for name in rest.split()[:-1]}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"vpcrouter", "workers", "setup.cfg", "pyproject.toml"} <= copied
    setup = (ROOT / "setup.cfg").read_text()
    assert {name for name in ("README.md", "LICENSE") if name in setup} <= copied


def test_containerfile_makes_the_folders_that_it_names() -> None:
    (run,) = of("RUN")
    (env,) = of("ENV")
    for assignment in env.split():
        assert assignment.partition("=")[2] in run.split()
    (volume,) = of("VOLUME")
    assert volume in run.split()
    subprocess.run(["sh", "-n", "-c", run], check=True)


def entrypoint(*arguments: str) -> list[str]:
    """What the container runs, with another program for the daemon."""
    (text,) = of("ENTRYPOINT")
    words = re.findall(r'"([^"]*)"', text)
    assert words[-1] == "/opt/vpcrouter/bin/vpcrouterd"
    return [*words[:-1], *arguments]


@needs(abilities.ROOT, "setpriv")
def test_container_entrypoint_leaves_one_right() -> None:
    """Also with no more capabilities than the page gives the container."""
    few = ("setpriv", "--inh-caps=-all", "--bounding-set=-all,+net_raw,+setuid,+setgid")
    done = subprocess.run(
        [*few, *entrypoint("/bin/cat", "/proc/self/status")],
        capture_output=True,
        text=True,
        check=True,
    )
    facts = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert set(facts["Uid"].split()) == set(facts["Gid"].split()) == {"65532"}
    assert facts["Groups"].strip() in ("", "65532")
    assert facts["NoNewPrivs"] == "1"
    assert {int(facts[f"Cap{kind}"], 16) for kind in ("Amb", "Eff", "Prm")} == {NET_RAW}


def test_supervisord_and_unit_run_what_pip_installs() -> None:
    setup = (ROOT / "setup.cfg").read_text()
    for name in ("etc/supervisord.conf", "vpcrouter.service", "etc/Containerfile"):
        (program,) = set(
            re.findall(r"/opt/vpcrouter/bin/(vpcrouter\w*)", (ROOT / name).read_text())
        )
        assert f"{program} = " in setup


LOGGER = """
import sys
from vpcrouter.logs import setup as logs
logs.set_up(sys.argv[1], False, "test")
for line in sys.stdin:
    logs.get("vpcrouter.test").info(line.strip())
    print("done", flush=True)
"""


@needs("logrotate")
def test_logrotate_loses_no_line(tmp_path: Path) -> None:
    """With the real logrotate: the file is moved, and the next line is in a new one."""
    folder = tmp_path / "log"
    folder.mkdir()
    conf = tmp_path / "logrotate.conf"
    conf.write_text(LOGROTATE.read_text().replace("/var/log/vpcrouter", str(folder)))
    logfile = folder / "vpcrouter.log"
    rotate = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(conf)]
    with subprocess.Popen(
        [sys.executable, "-c", LOGGER, str(logfile)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as logger:
        assert logger.stdin
        assert logger.stdout
        for event in ("first", "second"):
            logger.stdin.write(f"{event}\n")
            logger.stdin.flush()
            assert logger.stdout.readline() == "done\n"
            wait_until(lambda: logfile.exists() and event in logfile.read_text(), 5, event)  # noqa: B023
            if event == "first":
                subprocess.run(rotate, check=True, capture_output=True)
                assert logfile.read_text() == ""
        logger.stdin.close()
    assert "event=first" in (folder / "vpcrouter.log.1").read_text()
    assert "event=second" not in (folder / "vpcrouter.log.1").read_text()


FLAG = re.compile(r"(?<![\w-])--[a-z]\w*")
COMMAND = re.compile(r"^(?:\$ )?(?:\S*/)?vpcrouterd? (?:.*\\\n)*.*$", re.MULTILINE)
TUTORIALS = ("--inventory_", "--drained_")


def test_commands_on_the_pages_have_flags_that_exist() -> None:
    program = Path(sys.executable).parent / "vpcrouter"
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    known = set(FLAG.findall(done.stdout))
    commands = [command for page in PAGES for command in COMMAND.findall(page.read_text())]
    assert len(commands) >= 5
    for command in commands:
        flags = {flag for flag in FLAG.findall(command) if not flag.startswith(TUTORIALS)}
        assert flags <= known, command
