"""A packed agent is the newest checkpoint without its optimisers, rounded, and what is damaged of it is told."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.runtime.checkpoint import packed
from dreamerax.runtime.checkpoint.folder import FOLDER, PACKED
from tests.runtime.checkpoint.test_checkpoints import save
from tests.runtime.toys import Regression

AGENT = Regression(shape=(3,))


@pytest.fixture
def out(tmp_path: Path) -> Path:
  save(tmp_path / "run", AGENT, 10, 30)
  packed.pack(tmp_path / "run", AGENT, tmp_path / "out")
  return tmp_path / "out"


def test_it_has_the_newest_parameters_without_the_optimiser(tmp_path: Path, out: Path):
  assert packed.load_trained(out, AGENT).keys() == packed.load_trained(tmp_path / "run", AGENT).keys() == {"params"}
  k = packed.load_trained(out, AGENT)["params"]["k"]
  assert k.dtype == jnp.float32
  np.testing.assert_array_equal(k, [30.0, 30.0, 30.0])
  assert sorted(path.name for path in (out / PACKED).iterdir()) == ["arrays.bin", "manifest.txt", "saved.json"]
  assert (out / PACKED / "arrays.bin").stat().st_size == 3 * 2  # in half precision
  assert not (out / FOLDER).exists()


@pytest.mark.parametrize(("value", "nbytes"), [(1 / 3, 2), (1e5, 4)])
def test_numbers_are_halved_where_they_fit(tmp_path: Path, value: float, nbytes: int, monkeypatch: pytest.MonkeyPatch):
  state = {"params": {"k": jnp.full(3, value)}, "optimizer": {}}
  save(tmp_path / "run", AGENT, 10)
  load = packed.load_state
  monkeypatch.setattr(packed, "load_state", lambda *arguments: (state, load(*arguments)[1]))
  packed.pack(tmp_path / "run", AGENT, tmp_path / "out")
  assert (tmp_path / "out" / PACKED / "arrays.bin").stat().st_size == 3 * nbytes
  np.testing.assert_allclose(packed.load_trained(tmp_path / "out", AGENT)["params"]["k"], value, rtol=5e-4)


def test_damage_and_other_shapes_are_told(out: Path):
  with pytest.raises(ValueError, match=r"params/k is float32 \(3,\) in the checkpoint .*agent and float32 \(4,\)"):
    packed.load_trained(out, Regression(shape=(4,)))
  with pytest.raises(FileNotFoundError, match="holds no checkpoint"):
    packed.load_trained(out.parent, AGENT)
  path = out / PACKED / "arrays.bin"
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(ValueError, match=r"agent: arrays.bin has 5 bytes instead of 6: put a copy of it back"):
    packed.load_trained(out, AGENT)


def test_nothing_of_the_run_s_replay_is_given_away(out: Path):
  given = json.loads((out / PACKED / "saved.json").read_text())["saved"]
  assert given["replay"] == {} and given["counters"]["env_steps"] == 30
