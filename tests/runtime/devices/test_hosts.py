"""Two processes with four devices each make the update of one process with eight, and each notices when the other is gone."""

import dataclasses
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from dreamerax.runtime.devices import hosts
from dreamerax.runtime.devices.hosts import Hosts
from dreamerax.runtime.devices.mesh import MeshConfig, learner_mesh
from dreamerax.runtime.devices.sharding import abstract_state, init_state
from dreamerax.runtime.errors import HostLost
from dreamerax.runtime.learn.learner import Learner
from dreamerax.runtime.learn.update import Programs
from dreamerax.types import ArraySpec
from tests.conftest import ROOT, cpu_devices
from tests.runtime.learn.test_learner import filled
from tests.runtime.toys import Regression


class OwnRows:
  """One replay that all hosts have alike; each hands out its own rows of the batches."""

  def __init__(self, each: Hosts):
    self.whole, self.returned = filled(), 0
    size = self.whole.config.batch_size // each.count
    self.config = dataclasses.replace(self.whole.config, batch_size=size)
    self._rows = slice(each.index * size, (each.index + 1) * size)

  def sample(self):
    return jax.tree.map(lambda array: array[self._rows], self.whole.sample())

  def update_latents(self, slots, latents) -> int:
    for memory, stream, position in zip(latents["memory"], *slots, strict=True):
      x = self.whole.rows(stream)["observation/x"][position - self.whole.held[stream, 0] :]
      np.testing.assert_array_equal(memory, 100 + x[: len(memory)])  # of these rows and no others
    self.returned += len(slots.streams)
    return 0


def learn() -> None:
  """Run in each process."""
  each, agent = Hosts(), Regression(shape=(2, 3))
  assert each.sum([1, each.index, 2**40]).tolist() == [each.count, sum(range(each.count)), each.count * 2**40]
  mesh = learner_mesh(MeshConfig())
  assert mesh.size == 8 and mesh.devices.ravel().tolist() == jax.devices()
  replay = OwnRows(each)
  state = init_state(agent, mesh, jax.random.key(2))
  rows = jax.tree.map(lambda x: ArraySpec((replay.config.batch_size, *x.shape[1:]), x.dtype), replay.whole.batch_spec)
  programs = Programs(agent, abstract_state(agent, mesh), rows, mesh)
  learner = Learner(programs, replay, state=state, updates=0, key=jax.random.key(3))  # type: ignore[arg-type]
  learner.run(20)
  learner.flush()
  assert replay.returned == 20 * replay.config.batch_size
  loss = learner.take_metrics()["loss/reward"]
  print("learned", *np.asarray(learner.newest_params["k"]).ravel().tolist(), loss, flush=True)
  learner.close()
  programs.close()


def join_and_learn(port: int, process: int) -> None:
  hosts.join(f"127.0.0.1:{port}", 2, process)
  learn()
  if process == 1:
    os._exit(9)  # as if it were killed
  with pytest.raises(HostLost, match="start all of them again with the same --logdir"):
    Hosts().sum([1])
  print("told", flush=True)
  os._exit(0)  # jax would wait for the other one


def test_two_processes_make_the_updates_of_one_and_miss_each_other(on_eight_devices):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  environment = {**os.environ, **cpu_devices(4)}
  programs = [f"from tests.runtime.devices import test_hosts as t; t.join_and_learn({port}, {i})" for i in range(2)]
  children = [
    subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True)
    for program in programs
  ]
  one = learned(on_eight_devices("from tests.runtime.devices import test_hosts as t; t.learn()"))
  outputs = [child.communicate(timeout=300) for child in children]
  assert [child.returncode for child in children] == [0, 9], outputs
  for out, _ in outputs:
    np.testing.assert_allclose(learned(out), one, rtol=1e-5)
  assert "told" in outputs[0][0]


def learned(output: str) -> list[float]:
  line = next(line for line in output.splitlines() if line.startswith("learned"))
  return [float(number) for number in line.split()[1:]]
