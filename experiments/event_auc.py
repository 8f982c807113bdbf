"""How well a model tells whether an event happens within the next steps, on the episodes that it was not trained on.

python experiments/event_auc.py runs/events --data episodes/push

From each step of the held-out episodes the model imagines the recorded actions, without looking at what they led to. The
probability of the event within `--ahead` steps is 1 - product of (1 - p_h). It prints the area under the ROC curve, with
chance 0.5 and that of a guess by whether the event happens at the step itself, and the Brier scores of the model and of
the mean.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax import api
from dreamerax.offline import data
from dreamerax.recordings import EpisodeFolder
from dreamerax.types import Batch


def auc(score: np.ndarray, happens: np.ndarray) -> float:
  """The share of pairs of a step with the event and one without that the scores [N] put in the right order."""
  order = np.unique(score, return_inverse=True, return_counts=True)
  ranks = (np.cumsum(order[2]) - (order[2] - 1) / 2)[order[1]]  # equal scores share their mean rank
  many, few = happens.sum(), (~happens).sum()
  return float((ranks[happens].sum() - many * (many + 1) / 2) / (many * few))


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("run", type=Path)
  parser.add_argument("--data", type=Path, required=True, help="the folder that the model was trained on")
  parser.add_argument("--held-out", type=float, default=0.1, help="as in training")
  parser.add_argument("--event", default="event/contact")
  parser.add_argument("--ahead", type=int, default=8)
  options = parser.parse_args(arguments)
  agent, params = api.load_agent(options.run, trust=True)
  world, _ = agent.modules(params)
  seed = api.load_config(options.run, trust=True).seed
  episodes = data.split(EpisodeFolder(options.data), options.held_out, seed).held_out

  @jax.jit
  def predict(steps):
    """Probabilities [1, T - ahead] of the event within `ahead` steps."""
    seen = world.observe(Batch(steps, {}), jax.random.key(0))
    count = steps.reward.shape[1] - options.ahead
    latent, never = jax.tree.map(lambda x: x[:, :count], seen.latents), jnp.ones((1, count))
    for step in range(1, options.ahead + 1):
      latent = world.step(latent, jnp.asarray(steps.action[:, step : step + count]), jax.random.key(step))
      never *= 1 - world.event_probabilities(world.features(latent))[options.event]
    return 1 - never

  scores, labels, now = [], [], []
  for episode in episodes:
    steps = jax.tree.map(lambda x: x[None], episode)
    happens = episode.observation[options.event][:, 0] > 0.5
    scores.append(np.asarray(predict(steps))[0])
    for start in range(len(happens) - options.ahead):
      labels.append(happens[start + 1 : start + options.ahead + 1].any())
      now.append(float(happens[start]))
  score, label = np.concatenate(scores), np.array(labels)
  brier = [np.square(guess - label).mean() for guess in (score, label.mean())]
  print(
    f"{len(episodes)} episodes, {len(label)} steps, {label.mean():.1%} with {options.event} within {options.ahead} steps: "
    f"AUC {auc(score, label):.3f}, by the step itself {auc(np.array(now), label):.3f}; "
    f"Brier score {brier[0]:.3f}, of the mean {brier[1]:.3f}"
  )


if __name__ == "__main__":
  main()
