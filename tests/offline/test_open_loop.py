"""Errors by horizon, against loops that go window by window and step by step."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from dreamerax.agent import Agent
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.offline import figures
from dreamerax.offline.open_loop import Means, OpenLoopConfig, cut, horizon_errors, means
from dreamerax.types import ActionSpec, ArraySpec, Batch, EnvSpec, Transition
from dreamerax.world_model.base import SequencePrediction
from tests import tiny

SPEC = EnvSpec({"image": ArraySpec((12, 12, 3), "uint8"), "position": ArraySpec((2,))}, ActionSpec(2))
CONFIG = OpenLoopConfig(context=3, horizon=4)
LENGTHS = (9, 3, 12)  # two windows (one of them too short to predict from), none, and two


def make_episodes() -> list[Transition]:
  episodes = []
  for seed, steps in enumerate(LENGTHS):
    rng, first = np.random.default_rng(seed), np.arange(steps) == 0
    action = (rng.uniform(-1, 1, (steps, 2)) * ~first[:, None]).astype(np.float32)
    reward = (rng.normal(size=steps) * ~first).astype(np.float32)
    last = np.arange(steps) == steps - 1
    episodes.append(Transition(tiny.observation(SPEC, steps, seed=seed), action, reward, first, last, last & False))
  return episodes


def windows_by_hand() -> list[tuple[int, int, int]]:
  """Episode, first step, and one past its last."""
  return [(0, 0, 7), (2, 0, 7), (2, 7, 12)]


def test_windows_are_cut_where_they_should_be():
  episodes, windows = make_episodes(), cut(make_episodes(), CONFIG)
  assert len(windows.valid) == 3
  for number, (episode, start, end) in enumerate(windows_by_hand()):
    assert windows.valid[number].tolist() == [start + 3 + h < end for h in range(4)]
    np.testing.assert_array_equal(windows.steps.reward[number, : end - start], episodes[episode].reward[start:end])
    shown = episodes[episode].observation["image"]
    np.testing.assert_array_equal(windows.steps.observation["image"][number, : end - start], shown[start:end])
  assert len(cut(episodes, replace(CONFIG, windows=2)).valid) == 2
  with pytest.raises(ValueError, match="longest held-out episode has 12 steps, and context=12 leaves none to predict"):
    cut(episodes, replace(CONFIG, context=12))


def test_means_are_over_all_steps():
  episodes = make_episodes()
  found = means(episodes, SPEC)
  images = np.concatenate([episode.observation["image"] for episode in episodes])
  np.testing.assert_allclose(found.observation["image"], images.mean(0) / 255, rtol=1e-5)
  assert found.reward == pytest.approx(np.concatenate([episode.reward for episode in episodes]).mean(), rel=1e-5)


def predict(params, batch: Batch, key: jax.Array) -> SequencePrediction:
  """A model of the toy kind: what was seen last, moved by the sum of the actions since."""
  steps, context = batch.steps, CONFIG.context
  moved = np.cumsum(steps.action[:, context:], 1)  # [B, H, A]
  image = steps.observation["image"][:, context - 1].astype(np.float32) / 255
  dreamt = {
    "image": image[:, None] + 0.1 * moved[..., 0, None, None, None],
    "position": steps.observation["position"][:, context - 1, None] + moved,
  }
  seen = {name: np.full((len(image), context, *x.shape[2:]), np.nan) for name, x in dreamt.items()}  # nobody's business
  reward = np.concatenate([np.full((len(image), context), np.nan), 2 * moved[..., 1]], 1)
  return SequencePrediction({name: np.concatenate([seen[name], x], 1) for name, x in dreamt.items()}, reward)


def test_errors_equal_those_of_a_plain_loop():
  episodes = make_episodes()
  baseline = means(episodes[1:], SPEC)
  errors = horizon_errors(predict, {}, cut(episodes, CONFIG), baseline, SPEC, batch_size=2)
  sums: dict[tuple[str, str, int], list[float]] = {}
  for number, start, end in windows_by_hand():
    episode, seen, moved = episodes[number], start + CONFIG.context - 1, np.zeros(2)
    image = episode.observation["image"][seen] / 255
    for h, step in enumerate(range(seen + 1, end)):
      moved = moved + episode.action[step]
      truth, truth_position = episode.observation["image"][step] / 255, episode.observation["position"][step]
      images = {
        "model": (image + 0.1 * moved[0]).clip(0, 1),
        "last frame": image,
        "mean": baseline.observation["image"],
      }
      for predictor, guess in images.items():
        sums.setdefault((predictor, "image", h), []).append(float(((guess - truth) ** 2).mean()))
      position = episode.observation["position"][seen] + moved
      sums.setdefault(("model", "position", h), []).append(float(((position - truth_position) ** 2).mean()))
      rewards = {"model": 2 * moved[1], "last frame": episode.reward[seen], "mean": baseline.reward}
      for predictor, guess in rewards.items():
        sums.setdefault((predictor, "reward", h), []).append(abs(float(guess - episode.reward[step])))
  assert errors.count.tolist() == [len(sums["model", "image", h]) for h in range(4)] == [3, 3, 2, 2]
  for (predictor, name, h), values in sums.items():
    assert errors.errors[predictor][name][h] == pytest.approx(np.mean(values), rel=1e-4), (predictor, name, h)


def test_the_model_predicts_as_one_that_steps_by_itself():
  """Without chance, so that any order of draws gives the same."""
  agent = Agent(tiny.config(Deterministic(dims=6)), tiny.VECTOR)
  params, batch = jax.jit(agent.init)(jax.random.key(0))["params"], tiny.batch(agent)
  batch = batch._replace(context={})
  key, context = jax.random.key(9), 3
  predicted = jax.jit(agent.predict, static_argnums=2)(params, batch, context, key)
  world, _ = agent.modules(params)

  @jax.jit
  def step(latent, steps, dreaming):
    seen = world.observe_step(latent, steps.action, steps.observation, steps.is_first, key)
    latent = jax.tree.map(
      lambda x, y: jax.numpy.where(dreaming, x, y), world.dynamics.imagine_step(latent, steps.action, key), seen
    )
    reward = world.reward(world.dynamics.features(latent)).mean()
    return latent, world.objectives["reconstruction"].decoder(latent["deter"], latent["stoch"]), reward

  latent = world.dynamics.initial(4)
  for t in range(5):
    latent, decoded, reward = step(latent, jax.tree.map(lambda x: x[:, t], batch.steps), t >= context)  # noqa: B023
    np.testing.assert_allclose(predicted.reward[:, t], reward, rtol=1e-4, atol=1e-5)
    for name, value in decoded.items():
      plain = np.sign(value) * (np.exp(np.abs(value)) - 1)
      np.testing.assert_allclose(predicted.observation[name][:, t], plain, rtol=1e-4, atol=1e-5)


def test_a_perfect_model_has_no_error_and_the_table_says_so():
  windows = cut(make_episodes(), CONFIG)

  def know(params, batch, key):
    images = batch.steps.observation["image"].astype(np.float32) / 255
    return SequencePrediction({"image": images, "position": batch.steps.observation["position"]}, batch.steps.reward)

  baseline = Means({"image": np.zeros((12, 12, 3)), "position": np.zeros(2)}, 0.0)
  found = horizon_errors(know, {}, windows, baseline, SPEC, batch_size=2)
  assert not found.errors["model"]["image"].any() and not found.errors["model"]["reward"].any()
  black = windows.steps.observation["image"][:, 3] / 255.0
  assert found.errors["mean"]["image"][0] == pytest.approx((black**2).mean(), rel=1e-5)
  assert found.psnr("mean", "image")[0] == pytest.approx(-10 * np.log10((black**2).mean()), rel=1e-5)
  header, rows = figures.rows(found, SPEC)
  assert [row[:2] for row in rows] == [["1", "3"], ["2", "3"], ["4", "2"]]
  cells = dict(zip(header, rows[0], strict=False))
  assert cells["image PSNR, dB: model"] == "100.00" and cells["reward error: model"] == "0.0000"
  values = figures.scalars(found, SPEC)
  assert values["open_loop/last_frame/reward/mae/2"] == pytest.approx(found.errors["last frame"]["reward"][1])
  assert "open_loop/model/position/mse/4" in values and "open_loop/model/image/psnr/1" in values
