"""Measures the errors of a world model's predictions by horizon, beside predictions that need no model."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from dreamerax import checks
from dreamerax.offline.ssim import ssim
from dreamerax.runtime.protocol import Params
from dreamerax.types import Array, ArraySpec, Batch, EnvSpec, Transition
from dreamerax.world_model.base import SequencePrediction

REWARD = "reward"
MODEL, LAST, MEAN = "model", "last frame", "mean"
PREDICTORS = (MODEL, LAST, MEAN)
Predict = Callable[[Params, Batch, jax.Array], SequencePrediction]  # jitted: a batch of windows -> [B, T, ...]


@dataclass(frozen=True)
class OpenLoopConfig:
  """Configuration of the predictions that the world model is asked for."""

  context: int = 5
  """Agent steps that it sees first."""
  horizon: int = 45
  """Agent steps that it then predicts from the recorded actions."""
  windows: int = 256
  """Most pieces of held-out episodes to average over."""

  def __post_init__(self):
    checks.at_least(1, self, "context", "horizon", "windows")


class Windows(NamedTuple):
  """Pieces of episodes, context first. What lies beyond an episode's end repeats its last step and is not valid."""

  steps: Transition  # [N, context + horizon, ...]
  valid: np.ndarray  # bool [N, horizon], of the steps to predict


class Means(NamedTuple):
  """Predictions that know nothing but the training episodes' means."""

  observation: Mapping[str, np.ndarray]  # float32 {name: shape}; images in [0, 1]
  reward: float


class HorizonErrors(NamedTuple):
  """Means over windows, for each horizon 1 … H, of what the model predicts: the reward, and all that it decodes."""

  count: np.ndarray  # [H] windows that reach so far
  errors: Mapping[str, Mapping[str, np.ndarray]]  # predictor -> array's name or REWARD -> [H]
  """Squared error of an observation's entry (of an image in [0, 1]); absolute error of the reward."""
  similarity: Mapping[str, Mapping[str, np.ndarray]]  # predictor -> image's name -> [H] structural similarity

  def psnr(self, predictor: str, image: str) -> np.ndarray:
    """[H] decibels, from the mean squared error."""
    return -10 * np.log10(np.maximum(self.errors[predictor][image], 1e-10))

  def observations(self, spec: EnvSpec) -> dict[str, ArraySpec]:
    """The observations that the model decodes."""
    return {name: array for name, array in spec.observation.items() if name in self.errors[MODEL]}


def cut(episodes: Sequence[Transition], config: OpenLoopConfig) -> Windows:
  """Consecutive windows of each episode, those left out that have nothing to predict; evenly thinned to `windows` of them.

  Raises:
    ValueError: no episode is longer than the context.
  """
  length = config.context + config.horizon
  places = [
    (episode, start)
    for episode in episodes
    for start in range(0, len(episode.reward), length)
    if len(episode.reward) - start > config.context
  ]
  if not places:
    longest = max(len(episode.reward) for episode in episodes)
    raise ValueError(
      f"the longest held-out episode has {longest} steps, and context={config.context} leaves none to predict: lower it"
    )
  chosen = np.unique(np.linspace(0, len(places) - 1, min(config.windows, len(places))).round().astype(int))
  pieces, valid = [], []
  for index in chosen:
    episode, start = places[index]
    rows = np.arange(start, start + length)
    last = len(episode.reward) - 1
    pieces.append(jax.tree.map(lambda x: x[np.minimum(rows, last)], episode))  # noqa: B023
    valid.append(rows[config.context :] <= last)
  return Windows(jax.tree.map(lambda *x: np.stack(x), *pieces), np.stack(valid))


def means(episodes: Sequence[Transition], spec: EnvSpec) -> Means:
  """Computes the means of what a world model sees, over all steps of all episodes."""
  steps = sum(len(episode.reward) for episode in episodes)

  def mean(name: str) -> np.ndarray:
    total = np.zeros(spec.observation[name].shape)
    for episode in episodes:
      total += episode.observation[name].sum(0, dtype=np.float64)
    return (total / steps / (255 if spec.observation[name].is_image else 1)).astype(np.float32)

  rewards = sum(float(episode.reward.sum(dtype=np.float64)) for episode in episodes)
  return Means({name: mean(name) for name in spec.visible}, rewards / steps)


def horizon_errors(
  predict: Predict, params: Params, windows: Windows, baseline: Means, spec: EnvSpec, batch_size: int
) -> HorizonErrors:
  """Errors of the model and of both baselines.

  Each window begins without a latent, as at the start of an episode. The model's prediction is one sample of its imagination.

  Args:
    predict: of `batch_size` windows, the model's own `predict` with the windows' context.
  """
  horizon, total = windows.valid.shape[1], len(windows.valid)
  count = windows.valid.sum(0)
  sums, similar = (
    {predictor: defaultdict(lambda: np.zeros(horizon)) for predictor in PREDICTORS} for _ in ("errors", "similarity")
  )
  for number, start in enumerate(range(0, total, batch_size)):
    rows = np.minimum(np.arange(start, start + batch_size), total - 1)
    new = np.arange(start, start + batch_size) < total  # the last batch is filled up
    steps = jax.tree.map(lambda x: x[rows], windows.steps)  # noqa: B023
    predicted = jax.device_get(predict(params, Batch(steps, {}), jax.random.key(number)))
    valid = windows.valid[rows] & new[:, None]
    for totals, found in zip((sums, similar), _errors(steps, predicted, baseline, spec, horizon), strict=True):
      for predictor, values in found.items():
        for name, value in values.items():
          totals[predictor][name] += np.where(valid, value, 0).sum(0)
  return HorizonErrors(count, *(_means(totals, count) for totals in (sums, similar)))


def _means(totals: Mapping[str, Mapping[str, np.ndarray]], count: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
  """Each total [H] by the number of windows; NaN where no window reaches so far."""
  reached = count > 0
  return {p: {n: np.where(reached, x / np.maximum(count, 1), np.nan) for n, x in e.items()} for p, e in totals.items()}


def _errors(
  steps: Transition, predicted: SequencePrediction, baseline: Means, spec: EnvSpec, horizon: int
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, dict[str, np.ndarray]]]:
  """Errors [B, H] for each predictor and name, and structural similarities for each predictor and image."""
  found: dict[str, dict[str, np.ndarray]] = {predictor: {} for predictor in PREDICTORS}
  similar: dict[str, dict[str, np.ndarray]] = {predictor: {} for predictor in PREDICTORS}
  context = steps.reward.shape[1] - horizon
  for name, expected in predicted.observation.items():
    truth = steps.observation[name].astype(np.float32)
    if spec.observation[name].is_image:
      truth, expected = truth / 255, expected.clip(0, 1)
    guesses = (expected[:, context:], truth[:, context - 1, None], baseline.observation[name])
    for predictor, guess in zip(PREDICTORS, guesses, strict=True):
      found[predictor][name] = _over_entries(np.square(guess - truth[:, context:]))
      if spec.observation[name].is_image:
        similar[predictor][name] = ssim(guess, truth[:, context:])
  rewards = (predicted.reward[:, context:], steps.reward[:, context - 1, None], baseline.reward)
  for predictor, guess in zip(PREDICTORS, rewards, strict=True):
    found[predictor][REWARD] = np.abs(guess - steps.reward[:, context:])
  return found, similar


def _over_entries(error: Array) -> np.ndarray:
  """[B, H, ...] -> [B, H]."""
  return error.reshape(*error.shape[:2], -1).mean(-1)
