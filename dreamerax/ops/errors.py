"""Defines the errors of a machine that can compute nothing."""


class NoPlatform(RuntimeError):
  """JAX finds nothing to compute on; the message is one line for people."""
