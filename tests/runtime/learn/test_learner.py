"""Updates run ahead of the host, and yet what they see and leave behind is decided by the order of calls."""

from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax.replay import Replay
from dreamerax.runtime.collect.collector import Collector
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import abstract_state, check_batch_size, init_state
from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.learn.finite import Guard
from dreamerax.runtime.learn.learner import Learner
from dreamerax.runtime.learn.update import Programs
from dreamerax.types import Transition, to_transition
from tests.runtime.toys import Regression, make_envs, make_replay


class Poisoned(Replay):
  """Is given rewards of which one, the 21st of stream 2, is not a number."""

  def add(self, transition, latents, streams=None):
    bad = (np.arange(4)[slice(None) if streams is None else streams] == 2) & (self.held[2, 1] == 20)
    super().add(transition._replace(reward=np.where(bad, np.nan, transition.reward)), latents, streams)


def filled(rows: int = 40, kind: type[Replay] = Replay) -> Replay:
  replay = make_replay(streams=4, kind=kind)
  agent = Regression()
  collector = Collector(AgentPolicy(agent, explore=True, key=jax.random.key(1)), make_envs(4, 0), replay)
  for _ in range(rows):
    collector.send({"k": np.float32(0.0)})
    collector.receive()
  return replay


def make_learner(
  replay: Replay, updates: int = 0, agent: Regression | None = None, guard: Guard | None = None
) -> Learner:
  agent = agent or Regression()
  state = init_state(agent, local_mesh(), jax.random.key(2))
  programs = make_programs(replay, agent, guard)
  return Learner(programs, replay, state=state, updates=updates, key=jax.random.key(3), guard=guard)


def make_programs(replay: Replay, agent: Regression, guard: Guard | None = None) -> Programs:
  shapes, mesh = abstract_state(agent, local_mesh()), local_mesh()
  return Programs(agent, shapes, replay.batch_spec, mesh, skip=guard is not None and guard.skip)


def same_row(replay: Replay) -> tuple[Transition, dict[str, np.ndarray]]:
  """A row for each stream, as the first that each holds."""
  rows = [replay.rows(stream) for stream in range(4)]
  row = {name: np.stack([each[name][0] for each in rows]) for name in rows[0]}
  return to_transition(row), {"memory": row["latent/memory"]}


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
    states.append(float(learner.newest_params["k"]))
    learner.close()
  assert states[0] == states[1] == states[2]


def test_the_policy_is_one_update_behind():
  learner = make_learner(filled())
  seen = []
  for _ in range(4):
    acting, newest = float(learner.acting_params["k"]), float(learner.newest_params["k"])
    seen.append((acting, newest))
    learner.run(1)
  assert [acting for acting, _ in seen[1:]] == [newest for _, newest in seen[:-1]]
  assert len({newest for _, newest in seen}) == 4
  learner.run(3)
  assert float(learner.acting_params["k"]) != float(learner.newest_params["k"]) == float(learner.state["params"]["k"])
  learner.close()


def test_on_policy_batches_are_drawn_when_they_fall_due_and_the_policy_is_the_newest():
  replay, draws = filled(), []
  sample = replay.sample
  replay.sample = lambda: draws.append(replay.steps) or sample()  # type: ignore[method-assign]
  programs = make_programs(replay, agent := Regression())
  state = init_state(agent, local_mesh(), jax.random.key(2))
  learner = Learner(programs, replay, state=state, updates=0, key=jax.random.key(3), on_policy=True)
  learner.run(2)
  assert len(draws) == 2  # and none ahead
  assert float(learner.acting_params["k"]) == float(learner.newest_params["k"])
  replay.add(*same_row(replay))
  learner.run(1)
  assert draws[2] == draws[1] + 4
  learner.flush()
  assert "batch" not in learner.extra()
  learner.close()


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


def first_bad(replay: Replay) -> int:
  """The first update whose batch holds it, by drawing the same batches."""
  return next(i for i in range(100) if np.isnan(replay.sample()[0].steps.reward).any())


def test_an_update_that_is_not_finite_ends_the_run_and_is_kept(tmp_path: Path):
  bad = first_bad(filled(kind=Poisoned))
  learner = make_learner(filled(kind=Poisoned), guard=Guard(tmp_path))
  with pytest.raises(Diverged) as error:
    for _ in range(10):
      learner.run(3)
  assert f"update {bad} is not finite (loss/reward = nan), nor is reward of environment 2" in str(error.value)
  assert "--nonfinite skip" in str(error.value)
  sound = make_learner(filled(kind=Poisoned))
  sound.run(bad)
  assert float(learner.newest_params["k"]) == float(sound.newest_params["k"])  # nothing was made after it either
  with np.load(tmp_path / f"update-{bad}" / "batch.npz", allow_pickle=False) as batch:
    assert np.isnan(batch["steps/reward"]).any() and (batch["streams"] == 2).any()
  with np.load(tmp_path / f"update-{bad}" / "state.npz", allow_pickle=False) as state:
    assert float(state["params/k"]) == float(sound.newest_params["k"])
  learner.close()
  sound.close()


def test_updates_that_are_not_finite_can_be_left_out(caplog: pytest.LogCaptureFixture):
  learner = make_learner(filled(kind=Poisoned), guard=Guard(skip=True))
  learner.run(60)
  learner.flush()
  assert 1 < learner.skipped < 60
  assert "left out, the 1. update" in caplog.text
  assert learner.updates == 60
  means = learner.take_metrics()
  assert np.isfinite(list(means.values())).all() and means["loss/reward"] < 0.1
  assert float(learner.newest_params["k"]) == pytest.approx(1, abs=0.1)  # it has learned from the others
  learner.close()


def test_a_state_that_is_not_finite_is_refused_where_losses_still_are():
  learner = make_learner(filled(), agent=Regression(learning_rate=float("inf")))
  with pytest.raises(Diverged, match=r"update 0 is not finite .its gradients, not its losses., while its batch is"):
    learner.run(3)
    learner.flush()
  assert np.isfinite(float(learner.newest_params["k"]))
  learner.close()


def test_a_learner_goes_on_as_if_it_had_never_stopped():
  whole, replay = make_learner(filled()), filled()
  whole.run(7)
  first = make_learner(replay)
  first.run(4)
  first.flush()
  state, extra = first.state, first.extra()
  first.close()
  programs = make_programs(replay, Regression())
  second = Learner(programs, replay, state=state, updates=4, key=jax.random.key(3), extra=extra)
  second.run(3)
  assert float(second.newest_params["k"]) == float(whole.newest_params["k"])
  assert second.take_metrics() == whole.take_metrics()
  second.close()
  whole.close()


def test_a_policy_that_is_not_finite_is_refused():
  collector = Collector(AgentPolicy(Regression(), explore=False, key=jax.random.key(1)), make_envs(4, 0), make_replay())
  with pytest.raises(Diverged, match="actions are no longer finite"):
    collector.send({"k": np.float32(np.nan)})


def check_on_eight_devices() -> None:
  """Run in a process that has 8 devices: the batch is split, and the result is that of one."""
  mesh = local_mesh()
  assert mesh.size == 8
  learner = make_learner(filled())
  learner.run(3)
  batches = [array for array in jax.live_arrays() if array.shape == (8, 8)]  # rewards and flags
  assert batches and all(array.sharding.shard_shape((8, 8)) == (1, 8) for array in batches)
  assert learner.state["params"]["k"].sharding.is_fully_replicated
  print(float(learner.newest_params["k"]))
  learner.close()
  with pytest.raises(ValueError, match=r"batch_size=12 .* mesh.data=8: use a multiple of 8, such as 16"):
    check_batch_size(12, mesh)


def test_eight_devices_make_the_update_of_one(on_eight_devices):
  printed = on_eight_devices("from tests.runtime.learn import test_learner as t; t.check_on_eight_devices()")
  learner = make_learner(filled())
  learner.run(3)
  assert float(printed.split()[-1]) == pytest.approx(float(learner.newest_params["k"]), rel=1e-5)
  learner.close()
