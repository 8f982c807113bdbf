"""What is saved comes back bit by bit, whatever a crash left beside it."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.runtime.checkpoint import FOLDER, Checkpoints, Saved, load_state
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.sharding import abstract_state, init_state, local_mesh
from tests.runtime.toys import Regression


def saved(env_steps: int) -> Saved:
  return Saved(Counters(env_steps, env_steps // 2, 7), 1.5, 3, 60, {"last": 5}, 0)


@pytest.fixture
def agent() -> Regression:
  return Regression(shape=(3,))


def save(folder: Path, agent: Regression, *env_steps: int) -> dict:
  checkpoints = Checkpoints(folder / FOLDER)
  state = init_state(agent, local_mesh(), jax.random.key(0))
  for step in env_steps:
    state["params"]["k"] = jnp.full((3,), float(step))
    checkpoints.save(state, saved(step))
  checkpoints.close()
  return state


def test_the_newest_comes_back_whole(tmp_path: Path, agent: Regression):
  state = save(tmp_path, agent, 10, 20, 30)
  restored, row = load_state(tmp_path, agent)
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  assert row == saved(30)
  assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["20", "30"]


def test_an_empty_or_torn_newest_directory_is_passed_over(tmp_path: Path, agent: Regression):
  save(tmp_path, agent, 10)
  (tmp_path / FOLDER / "99").mkdir()
  torn = tmp_path / FOLDER / "98"
  torn.mkdir()
  (torn / "state").mkdir()
  assert load_state(tmp_path, agent)[1].counters.env_steps == 10


def test_saving_the_same_step_again_does_nothing(tmp_path: Path, agent: Regression):
  save(tmp_path, agent, 10, 10)
  assert load_state(tmp_path, agent)[1] == saved(10)


def test_a_state_that_is_donated_while_it_is_saved_arrives_unchanged(tmp_path: Path):
  state = jax.device_put(
    {"params": {"k": jnp.arange(1e6)}}, abstract_state(Regression(), local_mesh())["params"]["k"].sharding
  )
  forward = jax.jit(lambda state: jax.tree.map(lambda x: x * 0 - 1, state), donate_argnums=0)
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(state, saved(1))
  like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)
  for _ in range(20):
    state = forward(state)
  checkpoints.wait()
  restored = checkpoints.restore(like)
  checkpoints.close()
  assert restored is not None
  np.testing.assert_array_equal(restored[0]["params"]["k"], np.arange(1e6, dtype=np.float32))


def test_another_shape_is_refused_by_name(tmp_path: Path, agent: Regression):
  save(tmp_path, agent, 10)
  with pytest.raises(ValueError, match=r"params/k is float32 \(3,\) in the checkpoint .* and float32 \(4,\)"):
    load_state(tmp_path, Regression(shape=(4,)))


def test_without_a_checkpoint_the_directory_is_named(tmp_path: Path, agent: Regression):
  with pytest.raises(FileNotFoundError, match=str(tmp_path)):
    load_state(tmp_path, agent)
  assert list(tmp_path.iterdir()) == []
