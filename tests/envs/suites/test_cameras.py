"""Rendering contexts that environments of one model share: how many there are, whose pixels they draw, when they go."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from dreamerax.envs import EnvConfig, make
from dreamerax.envs.suites import rendering

rendering.choose()

from dm_control import _render, suite  # noqa: E402


@pytest.fixture
def contexts(monkeypatch):
  """Weak references to the rendering contexts made from here on."""
  gc.collect()
  made = []

  def note(**size):
    renderer = original(**size)
    made.append(weakref.ref(renderer))
    return renderer

  original = _render.Renderer
  monkeypatch.setattr(_render, "Renderer", note)
  return made


def picture(env) -> np.ndarray:
  return env.reset().observation["image"]


# The second moves its target and changes its size when an episode begins, both in the model; the third changes its terrain.
@pytest.mark.parametrize(
  ("task", "camera", "count"), [("walker_walk", 0, 1), ("reacher_easy", 0, 1), ("quadruped_escape", 2, 2)]
)
def test_two_environments_draw_their_own_pixels_as_dm_control_would(contexts, task, camera, count):
  ours = [make(EnvConfig(f"dmc/{task}"), seed) for seed in range(2)]
  pictures = [picture(env) for env in ours] + [picture(env) for env in ours]
  assert len(contexts) == count
  theirs = [suite.load(*task.split("_"), task_kwargs={"random": seed}) for seed in range(2)]
  expected = []
  for env in theirs * 2:
    env.reset()
    expected.append(env.physics.render(64, 64, camera_id=camera))
  np.testing.assert_array_equal(pictures, expected)
  assert (pictures[0] != pictures[1]).any() and (pictures[0] != pictures[2]).any()


def test_another_quality_or_size_has_a_context_of_its_own(contexts):
  configs = [EnvConfig("dmc/walker_walk", rendering=kind) for kind in ("published", "balanced", "coarse", "fast")]
  configs.append(EnvConfig("dmc/walker_walk", image_size=32))
  alone = [picture(make(config, 0)) for config in configs]
  contexts.clear()
  together = [make(config, 0) for config in configs]
  for expected, env in zip(alone, together, strict=True):
    np.testing.assert_array_equal(picture(env), expected)
  assert len(contexts) == len(configs)


def test_the_last_environment_of_a_model_takes_the_context_with_it(contexts):
  first, second = (make(EnvConfig("dmc/cartpole_balance"), seed) for seed in range(2))
  picture(first), picture(second)
  (context,) = contexts
  del first
  gc.collect()
  assert context() is not None and picture(second).any()
  del second
  gc.collect()
  assert context() is None


def test_threads_draw_the_same_model_at_the_same_time(contexts):
  together = Barrier(2)

  def draw(seed: int) -> np.ndarray:
    env = make(EnvConfig("dmc/cartpole_balance"), seed)
    together.wait()
    return np.stack([picture(env) for _ in range(5)])

  with ThreadPoolExecutor(2) as threads:
    drawn = list(threads.map(draw, range(2)))
  assert len(contexts) == 2
  for seed in range(2):
    env = make(EnvConfig("dmc/cartpole_balance"), seed)
    np.testing.assert_array_equal(drawn[seed], np.stack([picture(env) for _ in range(5)]))
