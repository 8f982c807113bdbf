"""Why nothing can be computed."""


class NoPlatform(RuntimeError):
  """JAX finds nothing to compute on; the message is one line for people."""
