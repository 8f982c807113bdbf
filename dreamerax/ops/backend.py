"""The one question about the machine that programs depend on: what runs them."""

import jax


def on_cpu() -> bool:
  """Accelerators are good at plain convolutions and batched products; XLA's CPU backend is not, and gets equal ones."""
  return jax.default_backend() == "cpu"


def unroll() -> int:
  """Steps of a scan that are compiled into one iteration: an accelerator starts fewer programs then, each less often."""
  return 1 if on_cpu() else 4
