"""Reads the settings anew when the daemon is told to reload, says what they are, and ends.

In a process of its own: files may be slow, and foreign plugins are loaded to check them.
"""

from vpcrouter.config import settings as config
from vpcrouter.errors import ConfigError
from vpcrouter.ipc.mailbox import Mailbox, StopWorker
from vpcrouter.model.messages import SettingsReport
from vpcrouter.plugins.contract import Worker


class SettingsReader(Worker):
    """Lives for one answer."""

    def run(self, mailbox: Mailbox) -> None:
        prog, arguments, default_config = self.values["command_line"]
        try:
            report = SettingsReport(config.load(prog, arguments, default_config))
        except ConfigError as error:
            report = SettingsReport(None, error.faults)
        mailbox.post(report)
        raise StopWorker
