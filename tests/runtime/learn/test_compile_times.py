"""What the next start tells of how long compiling takes."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import replicated
from dreamerax.runtime.learn.compilation import Source
from dreamerax.runtime.learn.compile_times import Compiler


@pytest.fixture
def times(tmp_path: Path) -> Path:
  """The file in which they are kept."""
  return tmp_path / "times.json"


def compiled(times: Path, factor: float, size: int = 8) -> tuple[Compiler, list[str]]:
  here, said = replicated(local_mesh()), []
  compiler = Compiler(said.append, times)
  shape = jax.ShapeDtypeStruct((size,), jnp.float32, sharding=here)
  program = compiler.compile(Source(lambda x: factor * x, (shape,), here, ()))
  assert program(jnp.ones(size, device=here))[0] == factor
  return compiler, said


def test_the_last_program_of_these_sizes_gives_the_estimate(times: Path):
  first = compiled(times, 2.0)[1]
  assert len(first) == 1 and "usually" in first[0]
  times.write_text(json.dumps(dict.fromkeys(json.loads(times.read_text()), 75.0)))
  assert compiled(times, 3.0)[1] == ["compiling the update: about 1 min 15 s, as the last time"]
  assert "usually" in compiled(times, 2.0, size=9)[1][0]


def test_a_program_that_was_compiled_before_is_loaded_and_nothing_is_promised(times: Path):
  compiled(times, 2.0)
  compiler, said = compiled(times, 2.0)
  assert said == [] and compiler.status.startswith("loading the compiled update, ")


@pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', '{"a": null}', "\udcff"])
def test_a_file_that_cannot_be_read_costs_the_estimate_alone(times: Path, content: str):
  times.write_bytes(content.encode("utf-8", "surrogateescape"))
  assert "usually" in compiled(times, 2.0)[1][0]
  assert len(json.loads(times.read_text())) == 2


def test_a_folder_that_cannot_be_written_costs_the_estimate_alone(tmp_path: Path):
  (tmp_path / "file").write_text("")
  assert compiled(tmp_path / "file" / "times.json", 2.0)[1]
