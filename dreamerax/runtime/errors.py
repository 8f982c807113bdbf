"""Defines the errors that end a run early."""


class Diverged(RuntimeError):
  """Training has produced numbers that are not finite; the message is one line for people."""


class NotSaved(RuntimeError):
  """A run is over, and its last checkpoint could not be written; the message is one line for people."""


class HostLost(RuntimeError):
  """Another process of a run over several hosts is gone; the message is one line for people."""


class Interrupted(Exception):
  """Somebody asked the run to save and leave."""
