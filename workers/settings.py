"""Rereads the settings for a reload, reports them, and exits.

In its own process: reading files may block, and third-party plugins are loaded for the check.
"""

from vpcrouter.config import settings as config
from vpcrouter.errors import ConfigError
from vpcrouter.ipc.mailbox import Mailbox, StopWorker
from vpcrouter.model.messages import SettingsReport
from vpcrouter.options.groups import CommandLine
from vpcrouter.plugins.contract import Worker


class SettingsReader(Worker):
    """Sends one report and exits."""

    def __init__(self, command_line: CommandLine) -> None:
        super().__init__(command_line)
        self._command_line = command_line

    def run(self, mailbox: Mailbox) -> None:
        given = self._command_line
        try:
            report = SettingsReport(
                config.load(given.prog, given.arguments, given.default_config, is_reload=True)
            )
        except ConfigError as error:
            report = SettingsReport(None, error.faults)
        mailbox.post(report)
        raise StopWorker
