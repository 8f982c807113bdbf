"""The one question about the machine that formulas depend on: what runs them."""

import jax


def on_cpu() -> bool:
  """Accelerators are good at plain convolutions and batched products; XLA's CPU backend is not, and gets equal ones."""
  return jax.default_backend() == "cpu"
