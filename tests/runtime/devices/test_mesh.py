"""Which devices learn and which act, what is refused, and that a run goes on with other devices."""

from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax.runtime.checkpoint.checkpoints import load_state
from dreamerax.runtime.devices import sharding
from dreamerax.runtime.devices.mesh import MeshConfig, describe, local_mesh, policy_mesh
from dreamerax.runtime.devices.sharding import batch_rows, init_state, state_sharded
from tests.conftest import run_apart
from tests.runtime.toys import Regression, run

AGENT = Regression(shape=(8, 16))


def test_values_without_meaning_are_refused():
  for change, message in (
    ({"data": -1}, "mesh.data=-1 must be at least 0"),
    ({"model": 0}, "mesh.model=0 must be at least 1"),
    ({"policy": -2}, "mesh.policy=-2 must be at least 0"),
  ):
    with pytest.raises(ValueError, match=message):
      MeshConfig(**change)


@pytest.mark.parametrize(
  ("config", "batch_size", "expected"),
  [
    ("", 16, "devices: 2 x cpu, and 1 to act"),
    ("", 15, "devices: 1 x cpu, and 1 to act"),
    ("batch='per_device'", 16, "devices: 1 x cpu, and 1 to act"),
    ("policy=0", 16, "devices: 2 x cpu"),
    ("data=2, model=2", 16, "devices: 4 x cpu (2 shares of a batch, weights over 2), and 1 to act"),
  ],
)
def test_a_cpu_is_divided_as_a_run_asks_for(config: str, batch_size: int, expected: str):
  """In a process of its own, before jax has looked for devices."""
  run_apart(
    "from dreamerax.runtime.devices.mesh import MeshConfig, describe, divide_cpu, local_mesh, policy_mesh\n"
    f"config = MeshConfig({config})\n"
    f"divide_cpu(config, {batch_size})\n"
    f"assert describe(local_mesh(config), policy_mesh(config)) == {expected!r}",
    timeout=60,
  )


def test_a_number_of_devices_that_was_asked_for_stays(monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "8")
  run_apart(
    "from dreamerax.runtime.devices.mesh import MeshConfig, divide_cpu, local_mesh\n"
    "divide_cpu(MeshConfig(), 16)\n"
    "assert local_mesh().size == 8",
    timeout=60,
  )


def check_refusals() -> None:
  """Run in a process that has 8 devices."""
  for config, message in (
    (MeshConfig(data=16), "mesh.data=16 and mesh.model=1 need 16 devices, and 8 of 8 are there"),
    (MeshConfig(data=4, policy=5), "mesh.data=4 and mesh.model=1 need 4 devices, and 3 of 8 are there"),
    (MeshConfig(model=16), "mesh.data=0 and mesh.model=16 need 16 devices, and 8 of 8 are there"),
    (MeshConfig(policy=8), "mesh.policy=8 leaves none of 8 devices to learn: use at most 7"),
  ):
    with pytest.raises(ValueError, match=message):
      local_mesh(config)
  with pytest.raises(ValueError, match=r"replay.batch_size=12 .* mesh.data=8: use a multiple of 8, such as 16"):
    batch_rows(12, MeshConfig(), local_mesh())
  assert batch_rows(12, MeshConfig(batch="per_device"), local_mesh()) == 96


def check_devices() -> None:
  """Run in a process that has 8 devices."""
  devices = jax.devices()
  config = MeshConfig(model=2, policy=3)  # one of the five is left over
  learners, actors = local_mesh(config), policy_mesh(config)
  assert learners.devices.tolist() == [devices[0:2], devices[2:4]] and actors.devices.tolist() == devices[5:]
  assert describe(learners, actors) == "devices: 4 x cpu (2 shares of a batch, weights over 2), and 3 to act"
  assert local_mesh().devices.shape == (8, 1) and policy_mesh().devices.tolist() == devices[:1]


def check_rule() -> None:
  """Run in a process that has 8 devices: the longest axis, of large arrays alone, moments like their weights."""
  mesh = local_mesh(MeshConfig(model=4))

  def shard(*shape: int) -> tuple[int, ...]:
    leaf = jax.ShapeDtypeStruct(shape, np.float32)
    return state_sharded(leaf, mesh).shard_shape(shape)

  sharding.LARGE = 128
  assert [shard(8, 16), shard(16, 8), shard(12, 12)] == [(8, 4), (4, 8), (12, 3)]
  assert [shard(100, 17), shard(17, 19), shard(127), shard()] == [(25, 17), (17, 19), (127,), ()]
  state = init_state(AGENT, mesh, jax.random.key(0))
  for leaf in (state["params"]["k"], state["optimizer"][0].mu["k"], state["optimizer"][0].nu["k"]):
    assert leaf.sharding.shard_shape(leaf.shape) == (8, 4)


def train(logdir: Path, env_steps: int, mesh: MeshConfig) -> None:
  """Run in a process that has 8 devices."""
  sharding.LARGE = 128
  run(logdir, env_steps=env_steps, agent=AGENT, sync=True, video_every=0, eval_episodes=1, mesh=mesh)


def test_eight_devices_are_shared_out(on_eight_devices):
  checks = "t.check_refusals(); t.check_devices(); t.check_rule()"  # in one process, whose start takes longest
  on_eight_devices(f"from tests.runtime.devices import test_mesh as t; {checks}")


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices(tmp_path: Path, on_eight_devices):
  """Weights over 4 devices, then over 2, then on one: the run of one device but for rounding."""
  for steps, mesh in ((500, "data=1, model=4, policy=2"), (1000, "data=4, model=2"), (1200, "data=1")):
    on_eight_devices(
      f"from tests.runtime.devices.test_mesh import *; train(Path({str(tmp_path)!r}), {steps}, MeshConfig({mesh}))"
    )
  train(tmp_path / "one", 1200, MeshConfig())
  (moved, saved), (one, saved_one) = load_state(tmp_path, AGENT), load_state(tmp_path / "one", AGENT)
  assert saved.counters == saved_one.counters and saved.counters.updates > 60
  np.testing.assert_allclose(moved["params"]["k"], one["params"]["k"], rtol=1e-4, atol=1e-5)
