"""Where compiled programs are kept from one run to the next."""

import os
from pathlib import Path

import jax

CACHE_VARIABLE = "DREAMERAX_CACHE_DIR"


def enable_cache() -> None:
  """Keeps compiled programs in ~/.cache/dreamerax/xla, or where DREAMERAX_CACHE_DIR says.

  A cache that jax was already told to use (JAX_COMPILATION_CACHE_DIR) stays, unless DREAMERAX_CACHE_DIR is set. Call it
  before anything is compiled.
  """
  named = os.environ.get(CACHE_VARIABLE)
  if named is None and jax.config.values["jax_compilation_cache_dir"]:
    return
  folder = Path(named).expanduser() if named else Path.home() / ".cache" / "dreamerax" / "xla"
  folder.mkdir(parents=True, exist_ok=True)
  jax.config.update("jax_compilation_cache_dir", str(folder))
  # The default of one second leaves out most of what a start-up compiles.
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
