"""The code in docs/extending.md is code that works."""

import re
import sys
import types
from contextlib import closing
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import jax
import numpy as np
import pytest

from dreamerax import api, cli, envs
from dreamerax.agent import Agent
from dreamerax.behavior.uniform import Uniform
from dreamerax.config import changed
from dreamerax.config_file import spec_to_dict
from dreamerax.deploy.export import export
from dreamerax.deploy.policy import load
from dreamerax.envs.suites import registry
from dreamerax.recordings import EpisodeFolder
from dreamerax.types import EnvSpec
from dreamerax.viewer.dreams import Dreamer
from tests import tiny
from tests.behavior.small_world import make_world
from tests.contracts.dynamics import DynamicsContract
from tests.contracts.environment import EnvironmentContract
from tests.contracts.planner import PlannerContract
from tests.envs.toys import Seeking
from tests.test_presets import WALKER
from tests.viewer.toys import parameters

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"

page = types.ModuleType("extending")  # dataclasses look their module up
sys.modules[page.__name__] = page
for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S):
  exec(compile(block, str(PAGE), "exec"), page.__dict__)


class TestHeldAction(page.TestHeldAction):
  """What every planner promises, of the page's."""


class TestLinearRSSM(page.TestLinearRSSM):
  """What every dynamics promises, of the page's."""


class TestReach(page.TestReach):
  """What every environment promises, of the page's."""


def test_the_pages_tests_inherit_the_contracts():
  assert issubclass(TestHeldAction, PlannerContract) and issubclass(TestLinearRSSM, DynamicsContract)
  assert issubclass(TestReach, EnvironmentContract)


def test_the_pages_parts_make_an_agent():
  run = page.planet_held("small")
  world_model = page.replace(run.agent.world_model, dynamics=page.LinearRSSM(deter=16))
  agent = Agent(page.replace(run.agent, world_model=world_model), WALKER)
  state = jax.eval_shape(agent.init, jax.random.key(0))
  assert state["params"]["world_model"]["dynamics"]["guess"]["kernel"].shape == (16, 60)


def test_the_pages_objectives_train_a_model():
  objectives = page.dreamer_inverse("1m").agent.world_model.objectives
  config = tiny.config()
  world_model = page.replace(
    config.world_model, objectives={**objectives, **config.world_model.objectives, "kl": page.SymmetricKL()}
  )
  agent = Agent(page.replace(config, world_model=world_model), tiny.VECTOR)
  state = agent.init(jax.random.key(0))
  new, _, metrics = jax.jit(agent.update)(state, tiny.batch(agent), jax.random.key(1))
  assert metrics["loss/inverse"] > 0 and metrics["loss/kl"] > 0 and "loss/dynamics" not in metrics
  moved = jax.tree.map(
    lambda a, b: bool((a != b).any()),
    *(each["params"]["world_model"]["objectives"]["inverse"] for each in (state, new)),
  )
  assert all(jax.tree.leaves(moved))


def test_the_pages_world_model_learns_where_the_next_vectors_are():
  run = page.planet_direct()
  assert isinstance(run.agent.world_model, page.Direct)
  config = page.replace(
    tiny.config(learning_rate=3e-3), world_model=page.Direct(units=16, layers=1), behavior=Uniform()
  )
  agent = Agent(config, tiny.VECTOR)
  batch, state, update = tiny.batch(agent), agent.init(jax.random.key(0)), jax.jit(agent.update)
  losses = []
  for _ in range(30):
    state, latents, metrics = update(state, batch, jax.random.key(1))
    losses.append(float(metrics["loss/change"]))
  assert losses[-1] < 0.8 * losses[0] and latents["state"].shape == (4, 5, 5)
  predicted = agent.predict(state["params"], batch, 2, jax.random.key(1)).observation
  for name, array in batch.steps.observation.items():
    np.testing.assert_array_equal(predicted[name][:, :2], array[:, :2])
  with pytest.raises(ValueError, match="observation 'image' is an image"):
    Agent(config, tiny.PIXELS)


def test_the_pages_suite_is_found_by_its_prefix(monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setitem(sys.modules, "dreamerax.envs.suites.reach", page)
  monkeypatch.setattr(registry, "SUITES", (page.ROW, *registry.SUITES))
  with closing(envs.make(envs.EnvConfig("reach/fast"), seed=0)) as env:
    first = env.reset(1).observation["place"]
    np.testing.assert_allclose(env.step(np.ones(1, np.float32)).observation["place"], first + 0.5, rtol=1e-6)
  with pytest.raises(ValueError, match="Did you mean reach/slow"):
    envs.make(envs.EnvConfig("reach/slwo"), seed=0)


SMALL = {
  "env.task": "tests.envs.toys:seeking",
  "env.action_repeat": 1,
  "env.image_size": None,
  "workers.count": 0,
  "num_envs": 2,
  "env_steps": 80,
  "replay.batch_size": 2,
  "replay.batch_length": 4,
  "replay.capacity": 1000,
  "schedule.ratio": 2.0,
  "loop.prefill_steps": 20,
  "loop.eval_episodes": 2,
  "agent.world_model.dynamics.deter": 16,
  "agent.world_model.dynamics.hidden": 8,
  "agent.world_model.encoder.mults": (1, 2),
  "agent.world_model.objectives.reconstruction.decoder.mults": (1, 2),
  "agent.behavior.inner.horizon": 2,
}
SEEKING = Seeking(0).spec
PLACES = EnvSpec({name: array for name, array in SEEKING.observation.items() if "image" not in name}, SEEKING.action)


def achiever(**changes: Any) -> Agent:
  config = tiny.config()
  return Agent(page.replace(config, behavior=page.Achiever(config.behavior, **changes)), PLACES)


@pytest.mark.slow
def test_the_pages_goals_lie_in_imagination_and_reward_likeness():
  agent = achiever()
  state, batch = agent.init(jax.random.key(0)), tiny.batch(agent)
  new, _, metrics = jax.jit(agent.update)(state, batch, jax.random.key(1))
  assert -1 <= metrics["imagined/reward"] <= 1 and metrics["loss/actor"] != 0
  moved = jax.tree.map(
    lambda a, b: bool((a != b).any()), *(each["params"]["behavior"]["inner"] for each in (state, new))
  )
  assert any(jax.tree.leaves(moved["actor"])) and any(jax.tree.leaves(moved["critic"]))
  assert agent.parameter_count() > Agent(tiny.config(), PLACES).parameter_count()  # twice as many features


def test_the_pages_behaviour_acts_by_the_goal_that_it_is_shown(tmp_path: Path):
  agent = achiever()
  assert set(agent.policy_spec.observation) == {"place", "goal/place"}
  params, header = parameters(agent), {"spec": spec_to_dict(agent.policy_spec)}
  export(agent, params, tmp_path / "policy.bin", explore=False, batch=None, platforms=("cpu",), header=header)
  policy = load(tmp_path / "policy.bin")
  place = np.zeros((2, 2), np.float32)
  actions, _ = policy({"place": place, "goal/place": np.array([[1, 0], [-1, 0]], np.float32)})
  assert np.abs(actions[0] - actions[1]).max() > 1e-3


def test_the_pages_behaviour_is_refused_where_no_goal_is_shown():
  with pytest.raises(
    ValueError, match=r"agent\.behavior needs the observation 'goal/image', and the environment shows"
  ):
    Agent(page.dreamer_goals("1m").agent, WALKER)


@pytest.mark.slow
def test_the_pages_preset_is_trained_scored_recorded_and_drawn(tmp_path: Path):
  logdir, film = tmp_path / "run", tmp_path / "film.gif"
  run = changed(page.dreamer_goals("1m"), SMALL)
  for env_steps in (60, 80):  # it goes on with the goals that it had
    api.train(page.replace(run, env_steps=env_steps), logdir)
  folder = tmp_path / "episodes"
  trust = ["--trust", page.__name__, "tests"]
  for command in (
    ["eval", str(logdir), "--episodes", "2", "--video", str(film)],
    ["record", "--policy", str(logdir), "--episodes", "2", "--out", str(folder), "--workers.count", "0"],
    ["video", str(logdir), "--out", str(tmp_path / "dream.gif"), "--context", "2", "--horizon", "3"],
    ["export", str(logdir), "--out", str(tmp_path / "policy.bin"), "--batch", "2", "--platforms", "cpu"],
  ):
    assert cli.main([*command, *trust]) == 0, command
  assert imageio.imread(film, index=0).shape[1] > 2 * 256  # what is seen, and the goal beside it
  episode = EpisodeFolder(folder).read_all()[0]
  goal = episode.observation["goal/place"]
  assert (goal == goal[0]).all() and set(episode.observation) == set(SEEKING.observation)
  begun, _ = Dreamer(*api.load_agent(logdir, page.__name__)).begin(episode, jax.random.key(0))
  np.testing.assert_array_equal(begun.carry["hidden"]["goal/place"], goal[:1])
  policy = api.load_policy(logdir, trust=page.__name__)
  assert set(policy.header["spec"]["observation"]) == set(SEEKING.observation) - {"event/near"}


def test_the_pages_reward_is_the_explorers_and_the_task_keeps_its_own():
  found = page.dreamer_still("1m").agent.behavior
  agent = Agent(page.replace(tiny.config(), behavior=found), tiny.VECTOR)
  state = jax.eval_shape(agent.init, jax.random.key(0))
  _, _, metrics = jax.eval_shape(agent.update, state, tiny.batch(agent), jax.random.key(1))
  assert {"explorer/imagined/reward", "task/imagined/reward"} <= metrics.keys()
  world = make_world(0.5)
  explorer = found.explorer.build(2, tiny.VECTOR, dtype=np.float32, rngs=page.nnx.Rngs(0))
  features = np.array([[3.0, 1.0], [0.0, 0.0]], np.float32)
  np.testing.assert_array_equal(explorer.rewarded(world).reward(features), [-5, 0])
  assert explorer.rewarded(world).continues is world.continues


def test_a_planner_of_the_page_is_checked():
  with pytest.raises(ValueError, match="candidates=0"):
    page.HeldAction(candidates=0)
