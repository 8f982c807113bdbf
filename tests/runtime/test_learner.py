"""Updates run ahead of the host, and yet what they see and leave behind is decided by the order of calls."""

import jax
import numpy as np
import pytest

from dreamerax.replay import Replay
from dreamerax.runtime.collect import Collector
from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.learner import Learner
from dreamerax.runtime.policy import Policy
from dreamerax.runtime.sharding import check_batch_size, init_state, local_mesh
from tests.runtime.toys import SPEC, Regression, make_envs, make_replay


def filled(rows: int = 40) -> Replay:
  replay = make_replay(streams=4)
  agent = Regression()
  collector = Collector(Policy(agent, explore=True, key=jax.random.key(1)), make_envs(4, 0), replay)
  for _ in range(rows):
    collector.send({"k": np.float32(0.0)})
    collector.receive()
  return replay


def make_learner(replay: Replay, updates: int = 0, agent: Regression | None = None) -> Learner:
  agent = agent or Regression()
  state = init_state(agent, local_mesh(), jax.random.key(2))
  return Learner(agent, SPEC, replay, local_mesh(), state=state, updates=updates, key=jax.random.key(3))


def memories(replay: Replay) -> np.ndarray:
  return np.concatenate([replay.sample()[0].context["memory"] for _ in range(50)])


def test_refreshed_latents_return_to_replay():
  replay = filled()
  assert memories(replay).max() < 1  # as collected
  learner = make_learner(replay)
  learner.run(30)
  learner.flush()
  learner.close()
  assert (memories(replay) > 99).mean() > 0.9  # what the update says: 100 + x


def test_one_call_or_many_make_the_same_state():
  states = []
  for counts in ([6], [1] * 6, [0, 4, 2]):
    learner = make_learner(filled())
    for count in counts:
      learner.run(count)
    assert learner.updates == 6
    states.append(float(learner.policy_params["k"]))
    learner.close()
  assert states[0] == states[1] == states[2]


def test_a_restart_continues_the_stream_of_noise():
  whole, late = make_learner(filled()), make_learner(filled(), updates=2)
  noises = []
  for learner in (whole, whole, whole, late):
    learner.run(1)
    noises.append(learner.take_metrics()["noise"])
  assert len(set(noises[:3])) == 3
  assert noises[3] == noises[2]
  whole.close()
  late.close()


def test_metrics_are_means_since_they_were_last_taken():
  learner = make_learner(filled())
  assert learner.take_metrics() == {} and learner.report() == {}
  singly = []
  for _ in range(3):
    learner.run(1)
    singly.append(learner.take_metrics()["loss/reward"])
  assert singly[0] > singly[-1]
  learner.close()
  learner = make_learner(filled())
  learner.run(3)
  assert learner.take_metrics()["loss/reward"] == pytest.approx(np.mean(singly), rel=1e-6)
  assert set(learner.report()) == {"open_loop/image", "report/k"}
  learner.close()


def test_a_loss_that_is_not_finite_is_named():
  learner = make_learner(filled(), agent=Regression(learning_rate=float("inf")))
  learner.run(3)
  with pytest.raises(Diverged, match="loss/reward became nan before update 3"):
    learner.take_metrics()
  learner.close()


def test_a_policy_that_is_not_finite_is_refused():
  collector = Collector(Policy(Regression(), explore=False, key=jax.random.key(1)), make_envs(4, 0), make_replay())
  with pytest.raises(Diverged, match="actions are no longer finite"):
    collector.send({"k": np.float32(np.nan)})


def check_on_eight_devices() -> None:
  """Run in a process that has 8 devices: the batch is split, and the result is that of one."""
  mesh = local_mesh()
  assert mesh.size == 8
  learner = make_learner(filled())
  learner.run(3)
  assert learner._newest.steps.reward.sharding.shard_shape((8, 8)) == (1, 8)
  assert learner.state["params"]["k"].sharding.is_fully_replicated
  print(float(learner.policy_params["k"]))
  learner.close()
  with pytest.raises(ValueError, match=r"batch_size=12 .* 8 devices: use a multiple of 8, such as 16"):
    check_batch_size(12, mesh)


def test_eight_devices_make_the_update_of_one(on_eight_devices):
  printed = on_eight_devices("from tests.runtime import test_learner as t; t.check_on_eight_devices()")
  learner = make_learner(filled())
  learner.run(3)
  assert float(printed.split()[-1]) == pytest.approx(float(learner.policy_params["k"]), rel=1e-5)
  learner.close()
