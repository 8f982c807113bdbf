"""What takes the place of a behaviour that learns."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax import presets
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Situation
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.uniform import Uniform
from dreamerax.offline import train as offline
from dreamerax.recordings import EpisodeFolder
from tests import tiny
from tests.recordings.test_folder import CONTINUOUS


@pytest.mark.parametrize("spec", [tiny.VECTOR, tiny.CHOICES])
def test_chance_takes_legal_actions(spec):
  module = Uniform().build(4, spec, dtype=None, rngs=None)  # type: ignore[arg-type]
  now = Situation({"deter": jnp.zeros((500, 1))}, {}, {}, {})
  actions, _ = module.act(None, now, jax.random.key(0), explore=True)  # type: ignore[arg-type]
  actions = np.asarray(actions)
  if spec.action.discrete:
    assert (np.sort(actions, -1) == [0, 0, 1]).all() and (actions.mean(0) > 0.25).all()
  else:
    assert actions.shape == (500, 2) and (np.abs(actions) <= 1).all() and actions.std() > 0.5


def test_a_planner_stays_and_an_actor_does_not(tmp_path: Path):
  folder = EpisodeFolder.create(tmp_path, CONTINUOUS, {"env": {"task": "tests.envs.toys:counter"}})
  planet, v2 = presets.build("planet", "small"), presets.build("dreamer-v2", "small")
  assert offline.world_model_only(planet, folder).agent == planet.agent
  choices = EpisodeFolder.create(tmp_path / "choices", tiny.CHOICES, {})
  assert isinstance(offline.world_model_only(planet, choices).agent.behavior, Uniform)  # which planners do not search
  to_goals = presets.build("pc3")
  assert offline.world_model_only(to_goals, folder).agent == to_goals.agent
  guided = dataclasses.replace(planet.agent, behavior=Planning(guide=ActorCritic()))
  assert isinstance(offline.world_model_only(dataclasses.replace(planet, agent=guided), folder).agent.behavior, Uniform)
  alone = offline.world_model_only(v2, folder)
  assert isinstance(alone.agent.behavior, Uniform) and not alone.agent.model_first
  assert alone.agent.world_model == v2.agent.world_model
  assert alone.env.task == "tests.envs.toys:counter" and not alone.replay.online
