"""Tells which backend runs a program, the one thing about the machine that programs depend on."""

import os

import jax

from dreamerax.ops.errors import NoPlatform

_VARIABLE = "JAX_PLATFORMS"


def explain_missing(error: Exception) -> str:
  """Why jax has raised `error` when it was asked for its devices, and what to do."""
  named = os.environ.get(_VARIABLE) or jax.config.values["jax_platforms"]
  if not named:
    return f"jax finds no device: {error}"
  said = f" ({' '.join(str(error).split())})" if str(error) else ""
  return (
    f"{_VARIABLE}={named}, and jax cannot compute there on this machine{said}: unset it, or install what it needs, which is "
    "`make setup EXTRAS=dev,gpu` for cuda"
  )


def on_cpu() -> bool:
  """Accelerators are good at plain convolutions and batched products; XLA's CPU backend is not, and gets equal ones.

  Raises:
    NoPlatform: the platform that JAX_PLATFORMS names is not there.
  """
  try:
    return jax.default_backend() == "cpu"
  except (AssertionError, RuntimeError) as error:  # jax asserts that it knows a platform which somebody has named
    raise NoPlatform(explain_missing(error)) from error


def unroll() -> int:
  """Steps of a scan that are compiled into one iteration: an accelerator starts fewer programs then, each less often."""
  return 1 if on_cpu() else 4
