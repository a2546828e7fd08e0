"""Makes a virtual environment with an extra of this package, and says how far it is.

    python3 tests/install.py .venv dev

For `make`; runs before anything is installed, in whatever Python 3 there is.
"""

import subprocess
import sys
import threading
import time
from pathlib import Path

PAUSE_S = 3.0
LEAST = (3, 11)
LOG_TAIL = 30


def hindrance() -> str:
    """Why this Python is not enough, and what to do; "" if it is."""
    version = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info < LEAST:
        return f"{sys.executable} is Python {version}, but 3.11 or later is needed: make PYTHON=..."
    try:
        import ensurepip  # noqa: F401, PLC0415 - a package of its own in Debian
    except ImportError:
        return f"{sys.executable} can't make virtual environments; Debian: apt install python3-venv"
    return ""


class Progress:
    """What pip has said so far. Written by the thread that reads it."""

    def __init__(self, packages: Path) -> None:
        self._packages = packages
        self._before = self._installed()
        self._collected: set[str] = set()
        self._to_install = 0

    def note(self, line: str) -> None:
        words = line.split()
        if line.startswith("Collecting "):
            self._collected.add(words[1].split("[")[0].split("=")[0].split(">")[0].split("<")[0])
        elif line.startswith("Installing collected packages:"):
            self._to_install = len(line.split(","))

    def _installed(self) -> int:
        return len(list(self._packages.glob("*.dist-info")))

    def __str__(self) -> str:
        if self._to_install:
            # Some replace older ones.
            done = min(max(self._installed() - self._before, 0), self._to_install)
            return f"{done} of {self._to_install} packages installed"
        if self._collected:
            return f"{len(self._collected)} packages found and downloaded"
        return "preparing"


def install(venv: Path, extra: str) -> int:
    """Run pip; its exit status."""
    python = venv / "bin" / "python"
    packages = next(iter(venv.glob("lib/python3*/site-packages")))
    progress = Progress(packages)
    log_path = venv / f"install-{extra}.log"
    pip = ("-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off")
    with (
        log_path.open("w") as log,
        subprocess.Popen(
            [str(python), *pip, "--editable", f".[{extra}]"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                progress.note(line)

        reader = threading.Thread(target=read)
        reader.start()
        said = ""
        while reader.is_alive():
            reader.join(PAUSE_S)
            if reader.is_alive() and str(progress) != said:
                said = str(progress)
                say(f"  {said}")
        status = process.wait()
    if status:
        tail = log_path.read_text().splitlines()[-LOG_TAIL:]
        say("\n".join([*tail, f"pip failed with status {status}; all that it said: {log_path}"]))
    return status


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(venv: Path, extra: str) -> int:
    if why := hindrance():
        say(why)
        return 1
    started_s = time.monotonic()
    say(f"Installing what `{extra}` in setup.cfg names into {venv} (once; a minute or two) ...")
    if not (venv / "bin" / "pip").exists():
        made = subprocess.run([sys.executable, "-m", "venv", str(venv)], check=False)
        if made.returncode:
            return made.returncode
    status = install(venv, extra)
    if not status:
        say(f"  installed in {time.monotonic() - started_s:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
