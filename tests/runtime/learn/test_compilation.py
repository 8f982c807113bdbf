"""How updates are compiled, and what a torn entry of the cache costs."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax._src.compilation_cache import compress_executable

from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import replicated
from dreamerax.runtime.learn.compilation import CACHE_VARIABLE, Source, compile_source, enable_cache
from dreamerax.runtime.learn.program_cache import WholeCache


def test_a_convolution_goes_to_the_library_that_uses_all_cores():
  def convolve(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

  here = replicated(local_mesh())
  shapes = [jax.ShapeDtypeStruct(shape, jnp.float32, sharding=here) for shape in ((64, 16, 16, 32), (3, 3, 32, 48))]
  program = compile_source(Source(convolve, tuple(shapes), here, ()))
  assert " convolution(" in program.as_text() and "ynn_fusion" not in program.as_text()


def test_a_torn_entry_of_the_cache_is_removed_said_once_and_written_again(tmp_path: Path):
  program = (
    "import jax, jax.numpy as jnp\nfrom dreamerax.runtime.learn.compilation import enable_cache\nenable_cache()\n"
    "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
    "print(float(jax.jit(lambda x: jnp.maximum(x @ x, 1).sum())(jnp.ones((8, 8)))))"
  )
  environment = {**os.environ, "DREAMERAX_CACHE_DIR": str(tmp_path)}

  def run() -> str:
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "512.0\n", done.stderr
    return done.stderr

  assert run() == ""
  entries = {path: path.stat().st_size for path in tmp_path.iterdir()}
  torn = max(entries, key=lambda path: entries[path])
  os.truncate(torn, entries[torn] // 2)
  said = run()
  assert str(torn) in said and "was torn" in said and len(said.splitlines()) == 1
  assert torn.stat().st_size > entries[torn] // 2
  assert {*tmp_path.iterdir()} == {*entries}


def test_an_entry_of_the_cache_is_whole_or_none(tmp_path: Path):
  cache, value = WholeCache(str(tmp_path), max_size=-1), compress_executable(os.urandom(5000))
  for nbytes in (0, 1, len(value) // 2, len(value) - 1):
    cache.put("program", value)
    assert cache.get("program") == value
    os.truncate(tmp_path / "program-cache", nbytes)
    assert cache.get("program") is None and not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_said_once_and_ends_nothing(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
  (tmp_path / "file").touch()
  monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
  before = jax.config.values["jax_compilation_cache_dir"]
  for _ in range(2):
    enable_cache()
  said = capsys.readouterr().err
  assert len(said.splitlines()) == 1 and f"set {CACHE_VARIABLE} to a folder" in said and str(tmp_path) in said
  assert jax.config.values["jax_compilation_cache_dir"] == before
