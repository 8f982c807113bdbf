"""What a reward from examples takes for success: its logit at each step of recorded episodes beside the true distance.

dreamerax record --policy runs/vice --episodes 50 --out episodes/acted
python experiments/example_scores.py runs/vice --data episodes/acted

The task shows the hidden observation true/distance, as table/place does. It prints how many steps are within reach of the
goal and how many have a positive logit, the area under the ROC curve of the one by the other, and the same of last steps.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from dreamerax import api
from dreamerax.behavior.rewarded import RewardedModule
from dreamerax.behavior.rewards.classifier import ExampleClassifierModule
from dreamerax.behavior.world import as_world
from dreamerax.recordings import EpisodeFolder
from dreamerax.types import Batch
from experiments.event_auc import auc

_REACH = 0.05  # metres


def summary(logit: np.ndarray, distance: np.ndarray) -> str:
  """Of steps [N]."""
  within, positive = distance <= _REACH, logit > 0
  parts = [f"{len(logit)} steps, {within.mean():.1%} within reach, {positive.mean():.1%} with a positive logit"]
  if positive.any():
    parts += [f"of these {within[positive].mean():.1%} within reach, {distance[positive].mean():.3f} m away on average"]
  if within.any() and not within.all():
    parts += [f"AUC {auc(logit, within):.3f}"]
  return "; ".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("run", type=Path)
  parser.add_argument("--data", type=Path, required=True, help="a folder of dreamerax record")
  options = parser.parse_args(arguments)
  agent, params = api.load_agent(options.run, trust=True)
  world, behavior = agent.modules(params)
  assert isinstance(behavior, RewardedModule) and isinstance(behavior.reward, ExampleClassifierModule)
  reward = behavior.reward

  @jax.jit
  def score(steps):
    seen = world.observe(Batch(steps, {}), jax.random.key(0))
    return reward(as_world(world), world.features(seen.latents))

  logits, distances = [], []
  for episode in EpisodeFolder(options.data).read_all():
    logits.append(np.asarray(score(jax.tree.map(lambda x: x[None], episode)))[0])
    distances.append(episode.observation["true/distance"][:, 0])
  print("all:", summary(np.concatenate(logits), np.concatenate(distances)))
  print("last:", summary(np.array([each[-1] for each in logits]), np.array([each[-1] for each in distances])))


if __name__ == "__main__":
  main()
