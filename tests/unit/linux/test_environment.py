"""What is left of variables that have been taken out."""

import subprocess
import sys

CODE = """
import os
from pathlib import Path
from vpcrouter.linux import environment
environment.withhold("AWS_")
print(sorted(environment.withheld(["AWS_SECRET"])), "AWS_SECRET_KEY" in os.environ, flush=True)
forked = os.fork()
shown = Path("/proc/self/environ").read_bytes()
print(b"hidden" in shown, b"HOME=/here" in shown, os.environ["HOME"], flush=True)
if forked:
    os.waitpid(forked, 0)
"""


def test_nobody_inherits_them_and_proc_does_not_show_them() -> None:
    env = {"AWS_SECRET_KEY": "hidden", "HOME": "/here", "AWS_PROFILE": "hidden"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=True
    )
    said = ["['AWS_SECRET_KEY'] False", *2 * ["False True /here"]]
    assert done.stdout.splitlines() == said, done.stderr
