"""A configuration file and the environment → the settings that the broker runs by, or every problem with its place."""

from broker.run.settings.load import load_settings
from broker.run.settings.machine import Machine, this_machine
from broker.run.settings.settings import LogLimits, Settings, UserLimits

__all__ = ["LogLimits", "Machine", "Settings", "UserLimits", "load_settings", "this_machine"]
