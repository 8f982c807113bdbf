"""What the next start tells of how long compiling takes."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import replicated
from dreamerax.runtime.learn import compile_times
from dreamerax.runtime.learn.compilation import Source
from dreamerax.runtime.learn.compile_times import Compiler


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
  path = tmp_path / "compile_times.json"
  monkeypatch.setattr(compile_times, "_path", lambda: path)
  return path


def compiled(factor: float, size: int = 8) -> tuple[Compiler, list[str]]:
  here, said = replicated(local_mesh()), []
  compiler = Compiler(said.append)
  shape = jax.ShapeDtypeStruct((size,), jnp.float32, sharding=here)
  program = compiler.compile(Source(lambda x: factor * x, (shape,), here, ()))
  assert program(jnp.ones(size, device=here))[0] == factor
  return compiler, said


def test_the_last_program_of_these_sizes_gives_the_estimate(cache: Path, monkeypatch: pytest.MonkeyPatch):
  first = compiled(2.0)[1]
  assert len(first) == 1 and "usually" in first[0]
  stored = compile_times._read()
  compile_times._write(dict.fromkeys(stored, 75.0))
  assert compiled(3.0)[1] == ["compiling the update: about 1 min 15 s, as the last time"]
  assert "usually" in compiled(2.0, size=9)[1][0]


def test_a_program_that_was_compiled_before_is_loaded_and_nothing_is_promised(cache: Path):
  compiled(2.0)
  compiler, said = compiled(2.0)
  assert said == [] and compiler.status.startswith("loading the compiled update, ")


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', '{"a": null}', "\udcff"])
def test_a_file_that_cannot_be_read_costs_the_estimate_alone(cache: Path, content: str):
  cache.write_bytes(content.encode("utf-8", "surrogateescape"))
  assert "usually" in compiled(2.0)[1][0]
  assert len(compile_times._read()) == 2


def test_a_folder_that_cannot_be_written_costs_the_estimate_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  (tmp_path / "file").write_text("")
  monkeypatch.setattr(compile_times, "_path", lambda: tmp_path / "file" / "compile_times.json")
  assert compiled(2.0)[1]
