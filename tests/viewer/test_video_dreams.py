"""Dreams in a model of images, where a pixel is followed whoever steers."""

from functools import cache

import jax
import numpy as np

from dreamerax.agent import Agent
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.visual_foresight import VisualForesight, moved, one_hot
from dreamerax.behavior.world import as_world
from dreamerax.presets import build
from dreamerax.types import PIXELS, ActionSpec, ArraySpec, EnvSpec, Transition
from dreamerax.viewer.dreams import Dream, Dreamer
from tests.small_presets import shrink
from tests.viewer.toys import parameters, steps

SIDE = 16
SPEC = EnvSpec({"image": ArraySpec((SIDE, SIDE, 3), "uint8"), PIXELS: ArraySpec((4,))}, ActionSpec(2))
MARK = np.array([0.3, 0.6, 0.8, 0.2], np.float32)
KEY = jax.random.key(0)


@cache
def foresight() -> tuple[Dreamer, Agent, dict]:
  planner = BlockCEM(horizon=4, repeat=2, candidates=8, elites=2, iterations=2)
  config = shrink(build("foresight").agent, {"channels": (4,) * 7, "units": 8, "depth": 2, "stages": 2})
  agent = Agent(shrink(config, {"behavior": VisualForesight(Planning(planner))}), SPEC)
  params = parameters(agent)
  return Dreamer(agent, params), agent, params


def recorded() -> Transition:
  """Three steps; the first has marked the pixel, and the others mark none."""
  found = steps(SPEC, length=3)
  marks = np.stack([MARK, np.zeros(4), np.zeros(4)]).astype(np.float32)
  return found._replace(observation={**found.observation, PIXELS: marks})


def where(dream: Dream) -> np.ndarray:
  return np.asarray(dream.carry["memory"]["map"])


def test_what_was_seen_has_moved_the_map():
  dreamer, agent, params = foresight()
  dream, _ = dreamer.begin(recorded(), KEY)
  world = as_world(agent.modules(params)[0])
  latent = dreamer.begin(jax.tree.map(lambda x: x[:2], recorded()), KEY)[0].carry["latent"]
  # The move to the third step is part of the next decision.
  expected = moved(world, latent, one_hot(MARK[None, :2], (SIDE, SIDE)))
  np.testing.assert_allclose(where(dream), expected, atol=1e-6)
  np.testing.assert_allclose(where(dream).sum(), 1, rtol=1e-5)
  assert where(dream).max() < 0.9  # it has moved
  np.testing.assert_array_equal(dream.carry["memory"]["goal"], MARK[None, 2:])


def test_the_map_moves_alike_whoever_steers():
  dreamer, _, _ = foresight()
  piloted = steered = dreamer.begin(recorded(), KEY)[0]
  for _ in range(3):
    piloted, frame = dreamer.step(piloted, None)
    before = where(steered)
    steered, seen = dreamer.step(steered, frame.action)
    np.testing.assert_allclose(seen.pictures["image"], frame.pictures["image"], atol=1)
    np.testing.assert_allclose(where(steered), where(piloted), atol=1e-5)
    assert np.abs(where(steered) - before).max() > 1e-3
  plan, void = (dream.carry["memory"]["planning"]["plan"] for dream in (piloted, steered))
  assert np.abs(plan).max() > 0 and not void.any()  # what was planned is void where somebody else decides


def test_another_action_moves_the_map_elsewhere():
  dreamer, _, _ = foresight()
  dream, _ = dreamer.begin(recorded(), KEY)
  found = []
  for action in ([1.0, 1.0], [-1.0, -1.0]):
    after, _ = dreamer.step(dream, np.array(action))
    found.append(where(dreamer.step(after, np.zeros(2))[0]))
  assert np.abs(found[0] - found[1]).max() > 1e-4
