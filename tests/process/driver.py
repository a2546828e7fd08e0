"""A real supervisor with workers of the tests' own: `python -m tests.process.driver FOLDER`."""

import json
import resource
import sys
import time
from pathlib import Path

from vpcrouter.config.settings import Settings
from vpcrouter.logs import setup as log
from vpcrouter.options.general import general_options
from vpcrouter.options.groups import ProcessSettings
from vpcrouter.plugins.registry import PluginRef
from vpcrouter.supervisor.lifecycle import LifePolicy
from vpcrouter.supervisor.reload import Reload
from vpcrouter.supervisor.supervisor import Supervisor
from vpcrouter.supervisor.worker import WorkerSpec
from vpcrouter.supervisor.workforce import Workforce

POLICY = LifePolicy(
    startsecs=0.3, silence_limit_s=6.0, abort_grace_s=1.0, backoff_max_s=0.5, early_deaths=3
)


def main(folder: Path) -> int:
    """Run the children that the file `children` in `folder` names."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    defaults = {option.name: option.default for option in general_options()}
    values = {**defaults, "verbose": True, "state_dir": str(folder / "state")}
    process = ProcessSettings.of(values)
    log.set_up("-", verbose=True, worker="supervisor")
    children = [
        (name, role, PluginRef(name, f"tests.process.fake_workers:{kind}"))
        for name, role, kind in json.loads((folder / "children").read_text())
    ]
    specs = {
        name: WorkerSpec(name, role, ref, process, {"folder": str(folder)})
        for name, role, ref in children
    }
    reload = Reload(Settings(values, None, ()), time.time())
    return Supervisor(Workforce(specs, POLICY), reload, {}).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
