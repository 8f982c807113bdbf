"""The whole update on 8 devices: the numbers of one device, and no batch gathered on any of them."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.agent import Agent
from dreamerax.runtime.devices import sharding
from dreamerax.runtime.devices.mesh import MeshConfig, local_mesh
from dreamerax.runtime.devices.sharding import batch_sharded, replicated, state_sharded
from tests import tiny
from tests.ops import shards
from tests.small_presets import SMALLEST, small

ROWS, LENGTH = 16, 6
NARROWEST = 16  # of all layers: what is gathered for the percentiles of returns has 3 numbers per row and step
SHAPE = re.compile(r"\w+\[([\d,]*)\]")


LISTED = re.compile(r"replica_groups=\{\{(.*?)\}\}")
IOTA = re.compile(
  r"\[([\d,]+)\](?:<=\[([\d,]+)\])?(?:T\(([\d,]+)\))?"
)  # [groups, size]<=[device array]T(order of its axes)
MESH = re.compile(r"replica_groups=mesh\[(.*?)\](?:, device_ids=\((.*?\))\))? \{(.*?)\}")


def numbers(text: str) -> list[int]:
  return [int(x) for x in text.split(",")]


def ordered(sizes: str, order: str | None) -> np.ndarray:
  devices = np.arange(math.prod(numbers(sizes))).reshape(numbers(sizes))
  return devices.transpose(numbers(order)) if order else devices


def groups(line: str) -> list[list[int]]:
  """The devices that an operation of a compiled program joins, in each way in which they are written; [] if in none."""
  if found := MESH.search(line):
    axes = dict(axis.split("=") for axis in found[1].split(","))
    sizes = [int(size) for size in axes.values()]
    given = IOTA.match(found[2]) if found[2] else None
    devices = ordered(given[1], given[3]) if given else np.arange(math.prod(sizes))
    joined = [list(axes).index(name) for name in found[3].split(",")]
    devices = np.moveaxis(devices.reshape(sizes), joined, range(-len(joined), 0))
    return devices.reshape(-1, math.prod(sizes[axis] for axis in joined)).tolist()
  if found := LISTED.search(line):
    return [numbers(group) for group in found[1].split("},{")]
  found = IOTA.search(line.partition("replica_groups=")[2])
  return ordered(found[2], found[3]).reshape(numbers(found[1])).tolist() if found else []


def largest_gather(program: str, model: int = 1) -> int:
  """Elements of the largest result of any all-gather in a compiled program's text that joins several shares of a batch.

  What `model` devices next to each other gather is their own share of the batch, whose features they have split.
  """
  sizes = [0]
  for line in program.splitlines():
    result, found, _ = line.partition(" all-gather")
    joined = [{device // model for device in group} for group in groups(line)]
    if found and "=" in result and (not joined or max(map(len, joined)) > 1):
      shapes = SHAPE.findall(result.split("=", 1)[1])
      sizes += [math.prod(int(x) for x in shape.split(",") if x) for shape in shapes]
  return max(sizes)


def distance(one, other) -> float:
  parts = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
  return math.sqrt(sum(float(np.square(np.float64(a) - np.float64(b)).sum()) for a, b in parts))


def check(agent: Agent, data: int = 8, model: int = 1) -> str:
  """Run in a process that has 8 devices; the text of the program that they ran."""
  batch = tiny.batch(agent, ROWS, LENGTH)
  mesh = local_mesh(MeshConfig(data=data, model=model))
  start = jax.tree.map(np.asarray, jax.jit(agent.init)(jax.random.key(0)))
  rows, whole, state = batch_sharded(mesh), replicated(mesh), state_sharded(start, mesh)
  split = [leaf for leaf in jax.tree.leaves(state) if not leaf.is_fully_replicated]
  assert len(split) > 10 if model > 1 else not split
  single = jax.jit(agent.update)
  spread = jax.jit(agent.update, in_shardings=(state, rows, whole), out_shardings=(state, rows, whole))
  spread = spread.lower(start, batch, jax.random.key(0)).compile()
  gathered, limit = largest_gather(spread.as_text(), model), ROWS * LENGTH * NARROWEST
  assert gathered < limit, f"an all-gather gives {gathered} numbers to every device, expected fewer than {limit}"

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
  return spread.as_text()


def check_tiny() -> None:
  shards.assert_added_once(check(Agent(tiny.config(learning_rate=4e-5), tiny.PIXELS)))


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
  %a = f32[8,3]{1,0} all-gather(%x), replica_groups={{0,1},{2,3}}, dimensions={0}
  %b = (f32[2,3]{1,0}, f32[16,5,4]{2,1,0}) all-gather-start(%y), replica_groups=[2,2]<=[2,2]T(1,0), dimensions={0}
  %c = f32[1000]{0} add(%all-gather.1, %d)
  """
  assert largest_gather(program) == largest_gather(program, 2) == 16 * 5 * 4
  assert groups(program.splitlines()[1]) == [[0, 1], [2, 3]] and groups(program.splitlines()[2]) == [[0, 2], [1, 3]]
  assert largest_gather(program.replace("T(1,0)", ""), 2) == 0  # only within a share
  mesh = "replica_groups=mesh['a'=2,'b'=2]"
  assert groups(mesh + " {'b'}, dimensions={0}") == [[0, 1], [2, 3]]
  assert groups(mesh + " {'a'}") == groups(mesh + ", device_ids=([2,2]T(1,0)) {'b'}") == [[0, 2], [1, 3]]
