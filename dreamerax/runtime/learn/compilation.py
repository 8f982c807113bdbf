"""Compiles the update, and keeps compiled programs from one run to the next."""

import errno
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dreamerax.runtime.learn import program_cache
from dreamerax.runtime.learn.flops import count_flops

CACHE_VARIABLE = "DREAMERAX_CACHE_DIR"

# What XLA's CPU backend gives to YNNPACK: matrix products alone. YNNPACK computes a convolution on one core, where Eigen takes
# all of them, and fuses what goes before and after a reduction into loops that are slow over few channels.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}


class Source(NamedTuple):
  """A function that is yet to be compiled."""

  function: Callable[..., Any]
  arguments: tuple[Any, ...]  # pytrees of shapes with dtypes and shardings
  results: Any  # shardings
  donated: tuple[int, ...]  # which arguments give their memory to the results


Program = Callable[..., Any]  # a compiled function


def compile_source(source: Source) -> Program:
  """Waits for the compiler."""
  return trace(source).lower().compile()


def flops(source: Source) -> Mapping[str, int]:
  """Floating-point operations of its matrix products and convolutions by dtype, on all devices together."""
  return count_flops(trace(source).jaxpr)


def trace(source: Source) -> Any:
  """A traced `jax.jit` of it. The function is traced in the mesh of its arguments, which says how a batch is spread."""
  mesh = jax.tree.leaves(source.arguments)[0].sharding.mesh
  jitted = jax.jit(
    source.function,
    donate_argnums=source.donated,
    in_shardings=jax.tree.map(lambda leaf: leaf.sharding, source.arguments),
    out_shardings=source.results,
    compiler_options=compiler_options(),
  )
  with jax.set_mesh(mesh):
    return jitted.trace(*source.arguments)


@cache
def compiler_options() -> dict[str, str]:
  """Returns the options of an update's compiler; none where the compiler does not know
  them."""
  if jax.default_backend() != "cpu":
    return {}
  try:
    jax.jit(lambda: 0, compiler_options=_CPU_OPTIONS).lower().compile()
  except jax.errors.JaxRuntimeError:  # an experimental option: it may go as it came
    return {}
  return _CPU_OPTIONS


@cache
def _warn_once(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def enable_cache() -> None:
  """Keeps compiled programs in ~/.cache/dreamerax/xla, or where DREAMERAX_CACHE_DIR says.

  A cache that jax was already told to use (JAX_COMPILATION_CACHE_DIR) stays, unless DREAMERAX_CACHE_DIR is set. Call it
  before anything is compiled. Where the folder cannot be written, programs are not kept, and that is said once.
  """
  program_cache.install()
  named = os.environ.get(CACHE_VARIABLE)
  if named is None and jax.config.values["jax_compilation_cache_dir"]:
    return
  try:
    folder = Path(named).expanduser() if named else Path.home() / ".cache" / "dreamerax" / "xla"
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
  except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: the user has no home directory
    _warn_once(f"compiled programs are not kept ({error}): set {CACHE_VARIABLE} to a folder that can be written")
    return
  jax.config.update("jax_compilation_cache_dir", str(folder))
  # The default of one second leaves out most of what a start-up compiles.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
