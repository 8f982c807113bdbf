"""The whole update on 8 devices: the numbers of one device, and no batch gathered on any of them."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.agent import Agent
from dreamerax.runtime import sharding
from dreamerax.runtime.mesh import MeshConfig, local_mesh
from dreamerax.runtime.sharding import batch_sharded, replicated, state_sharded
from tests import tiny
from tests.small_presets import SMALLEST, small

ROWS, LENGTH = 16, 6
NARROWEST = 16  # of all layers: what is gathered for the percentiles of returns has 3 numbers per row and step
SHAPE = re.compile(r"\w+\[([\d,]*)\]")


def largest_gather(program: str) -> int:
  """Elements of the largest result of any all-gather in a compiled program's text."""
  sizes = [0]
  for line in program.splitlines():
    result, found, _ = line.partition(" all-gather")
    if found and "=" in result:
      shapes = SHAPE.findall(result.split("=", 1)[1])
      sizes += [math.prod(int(x) for x in shape.split(",") if x) for shape in shapes]
  return max(sizes)


def distance(one, other) -> float:
  parts = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  return math.sqrt(sum(float(np.square(np.float64(a) - np.float64(b)).sum()) for a, b in parts))


def check(agent: Agent, data: int = 8, model: int = 1) -> None:
  """Run in a process that has 8 devices."""
  batch = tiny.batch(agent, ROWS, LENGTH)
  mesh = local_mesh(MeshConfig(data=data, model=model))
  start = jax.tree.map(np.asarray, jax.jit(agent.init)(jax.random.key(0)))
  rows, whole, state = batch_sharded(mesh), replicated(mesh), state_sharded(start, mesh)
  split = [leaf for leaf in jax.tree.leaves(state) if not leaf.is_fully_replicated]
  assert len(split) > 10 if model > 1 else not split
  single = jax.jit(agent.update)
  spread = jax.jit(agent.update, in_shardings=(state, rows, whole), out_shardings=(state, rows, whole))
  spread = spread.lower(start, batch, jax.random.key(0)).compile()
  gathered, limit = largest_gather(spread.as_text()), ROWS * LENGTH * NARROWEST
  assert 0 < gathered < limit, f"an all-gather gives {gathered} numbers to every device, expected fewer than {limit}"

  one, eight = start, jax.device_put(start, state)
  for step in range(10):
    key = jax.random.key(step)
    one, latents_one, metrics_one = single(one, batch, key)
    inputs = (jax.device_put(batch, rows), jax.device_put(key, whole))
    eight, latents_eight, metrics_eight = spread(eight, *inputs)
    if step == 0:
      assert latents_eight["deter"].sharding.shard_shape((ROWS, LENGTH, 32)) == (ROWS // data, LENGTH, 32)
      same_to_rounding((latents_one, metrics_one), (latents_eight, metrics_eight))
      same_to_rounding(gradient_sizes(one), gradient_sizes(eight))
  assert distance(one["params"], eight["params"]) < 1e-3 * distance(one["params"], start["params"])


def check_tiny() -> None:
  check(Agent(tiny.config(learning_rate=4e-5), tiny.PIXELS))


def check_preset(name: str, model: int) -> None:
  sharding.LARGE = 256  # as its largest weights are small
  check(small(name, warmup=0, learning_rate=4e-5), 8 // model, model)


def gradient_sizes(state) -> list:
  """|gradient| of the first update, from the optimiser's running squares: its step is a sign, whatever the size."""
  squares = [x.nu for x in jax.tree.leaves(state["optimizer"], is_leaf=lambda x: hasattr(x, "nu")) if hasattr(x, "nu")]
  assert squares
  return [jnp.sqrt(x) for x in jax.tree.leaves(squares)]


def same_to_rounding(one, other) -> None:
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    a, b = np.float64(a), np.float64(b)
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * max(np.abs(a).max(), 1e-12))


def test_eight_devices_update_as_one_and_keep_their_shards(on_eight_devices):
  on_eight_devices("from tests import test_sharding as t; t.check_tiny()")


@pytest.mark.slow
@pytest.mark.parametrize("model", [1, 2])
@pytest.mark.parametrize("name", SMALLEST)
def test_every_preset_updates_on_eight_devices_as_on_one(name: str, model: int, on_eight_devices):
  on_eight_devices(f"from tests import test_sharding as t; t.check_preset({name!r}, {model})")


def test_gathers_are_found_in_a_program():
  program = """
  %a = f32[8,3]{1,0} all-gather(%x), dimensions={0}
  %b = (f32[2,3]{1,0}, f32[16,5,4]{2,1,0}) all-gather-start(%y), dimensions={0}
  %c = f32[1000]{0} add(%all-gather.1, %d)
  """
  assert largest_gather(program) == 16 * 5 * 4
