"""A whole run of PlaNet that plans by iLQR: it trains, goes on, is scored and acts; a file of it is refused."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax import api
from dreamerax.behavior.planners.ilqr import ILQR
from dreamerax.behavior.planning import Planning
from dreamerax.runtime.telemetry.metrics import read_metrics
from tests import tiny

CHANGES = {
  "env.task": "tests.envs.toys:counter",
  "env.action_repeat": 1,
  "workers.count": 0,
  "num_envs": 2,
  "replay.batch_size": 2,
  "replay.batch_length": 4,
  "replay.capacity": 1000,
  "schedule.updates": 1,
  "schedule.every": 20,
  "schedule.first": 1,
  "loop.prefill_steps": 20,
  "loop.eval_episodes": 0,
  "loop.video_every": 0,
  "agent.world_model.dynamics.deter": 8,
  "agent.world_model.dynamics.hidden": 8,
  "agent.world_model.dynamics.stochastic.dims": 2,
  "agent.world_model.encoder.units": 8,
  "agent.world_model.objectives.reconstruction.decoder.units": 8,
  "agent.world_model.reward.units": 8,
}


@pytest.mark.slow
def test_planet_plans_by_ilqr(tmp_path):
  run = api.preset("planet", "small", CHANGES)
  behavior = Planning(ILQR(horizon=2, candidates=4, iterations=2))
  run = replace(run, env_steps=60, agent=replace(run.agent, behavior=behavior))
  logdir, file = tmp_path / "run", tmp_path / "policy.bin"
  api.train(run, logdir)
  first = read_metrics(logdir / "metrics.jsonl")[-1]
  api.train(replace(run, env_steps=100), logdir)
  last = read_metrics(logdir / "metrics.jsonl")[-1]
  assert last["env_steps"] >= 100 > first["env_steps"] and last["updates"] > first["updates"] > 0
  trust = ["tests"]
  assert api.load_config(logdir, trust).agent.behavior == behavior
  assert np.isfinite(api.evaluate(logdir, episodes=2, trust=trust).returns).all()
  observation = {"clock": np.array([[1, 0], [0, 0], [2, 0]], np.float32)}
  actions, _ = api.load_policy(logdir, trust=trust)(observation)
  assert actions.shape == (3, 2) and np.abs(actions).max() <= 1
  with pytest.raises(ValueError, match=r"cannot be a file, act with dreamerax.load_policy: its program calls 'lapack_"):
    api.export_policy(logdir, file, platforms=("cpu",), trust=trust)
  assert not file.exists()


def test_choices_are_refused():
  with pytest.raises(ValueError, match="planners search continuous actions: choose an actor-critic for discrete ones"):
    Planning(ILQR()).build(4, tiny.CHOICES, dtype=jnp.float32, rngs=nnx.Rngs(0))
