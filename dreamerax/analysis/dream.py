"""An agent's behaviour, and what its world model dreams of it from the actions alone."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dreamerax import api, captions, envs
from dreamerax.agent import Agent
from dreamerax.envs.base import EnvBatch
from dreamerax.images import colored
from dreamerax.own_code import NOBODY, Trust
from dreamerax.run_directory import RunDirectory
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.seeds import key
from dreamerax.types import GOAL, Batch, Transition
from dreamerax.words import number_of


class DreamedEpisode(NamedTuple):
  """T steps of an episode, in turns of seeing and dreaming."""

  truth: np.ndarray  # uint8 [T, H, W, C]
  prediction: np.ndarray  # float32 [T, H, W, C] in [0, 1]: decoded from the posterior where seen, else from the dream
  seen: np.ndarray  # bool [T]
  rewards: np.ndarray  # [T]
  goal: np.ndarray | None = None  # uint8 [T, H, W, C], that the environment shows; None where it shows none

  def errors(self) -> np.ndarray:
    """[T] mean absolute error of a pixel, of 1."""
    return np.abs(self.prediction - self.truth / np.float32(255)).mean((1, 2, 3))


def dream(run_dir: Path, *, steps: int, context: int, horizon: int, seed: int, trust: Trust = NOBODY) -> DreamedEpisode:
  """Plays an episode with mode actions, then lets the model see `context` of its steps, dream `horizon`, and so on.

  Args:
    steps: decisions to play at most. What does not fill a turn is left out.
    seed: of the environment and of all draws.
    trust: code that may run because the run's configuration names it.

  Raises:
    FileNotFoundError: no run or no checkpoint is there. ValueError: the world model decodes no images, or the episode
      is shorter than a turn.
  """
  directory = RunDirectory.open(run_dir, trust)
  agent, params = api.agent_of(directory)
  name = next((name for name in agent.decoded if agent.spec.observation[name].is_image), None)
  if name is None:
    raise ValueError(
      f"the world model of {run_dir} decodes no images, so it dreams none: `dreamerax eval RUN_DIR --video film.mp4` "
      "films what the environment shows"
    )
  batch = envs.make_batch(directory.config.env.as_evaluated(), 1, seed)
  act_key, dream_key = jax.random.split(key(seed))
  try:
    rows, latents = _play(AgentPolicy(agent, explore=False, key=act_key), agent, params, batch, steps)
  finally:
    batch.close()
  turn = context + horizon
  turns = len(rows.reward) // turn
  if not turns:
    raise ValueError(
      f"the episode has {number_of(len(rows.reward), 'step')}, fewer than context + horizon = {turn}: lower one of them"
    )
  turned = jax.tree.map(lambda x: x[: turns * turn].reshape(turns, turn, *x.shape[1:]), rows)  # [B, T, ...]
  before = jax.tree.map(lambda x: x[: turns * turn : turn], latents)  # [B, ...]
  predicted = jax.jit(agent.open_loop, static_argnums=2)(params, Batch(turned, before), context, dream_key)[name]
  shown = {each: array[: turns * turn] for each, array in rows.observation.items()}
  truth, goal = shown[name], shown.get(GOAL + name)
  prediction = np.clip(np.asarray(predicted, np.float32), 0, 1).reshape(truth.shape)
  seen = np.tile(np.arange(turn) < context, turns)
  return DreamedEpisode(truth, prediction, seen, rows.reward[: turns * turn], goal)


def film(dreamt: DreamedEpisode) -> np.ndarray:
  """uint8 [T, H', W', 3]: truth, prediction and error side by side, enlarged, under what each is and where the episode is.

  Where there is a goal, it is the fourth. A green strip says that the model sees the frame, a red one that it dreams it.
  """
  truth, prediction = dreamt.truth / np.float32(255), dreamt.prediction
  shown = {"truth": truth, "prediction": prediction, "error (grey: none)": (prediction - truth + 1) / 2}
  if dreamt.goal is not None:
    shown["goal"] = dreamt.goal / np.float32(255)
  columns = [captions.enlarge(colored(np.rint(x * 255).astype(np.uint8))) for x in shown.values()]
  width = columns[0].shape[2]
  titles = np.concatenate([captions.strip(text, width) for text in shown], 1)
  strips = []
  for step, (seen, score) in enumerate(zip(dreamt.seen, np.cumsum(dreamt.rewards), strict=True)):
    text, color = ("seen", captions.SEEN) if seen else ("dreamt from the actions alone", captions.DREAMT)
    strips.append(captions.strip(f"step {step}  return {score:.1f}  {text}", len(shown) * width, color=color))
  heads = np.stack([np.concatenate([titles, strip]) for strip in strips])
  return np.concatenate([heads, np.concatenate(columns, 2)], 1)


def _play(
  policy: AgentPolicy, agent: Agent, params, batch: EnvBatch, steps: int
) -> tuple[Transition, dict[str, np.ndarray]]:
  """Rows [T, ...] of one episode, and the latents [T, ...] before each: zeros before the first."""
  carry, row = policy.initial_carry(1), batch.reset()
  latents = {name: np.zeros((1, *spec.shape), spec.dtype) for name, spec in agent.latent_spec.items()}
  rows, before = [], []
  for index in range(steps + 1):
    rows.append(jax.tree.map(lambda x: np.array(x[0]), row))
    before.append(jax.tree.map(lambda x: np.asarray(x)[0], latents))
    if row.is_last[0]:
      break
    actions, carry, latents = policy(params, carry, row, index)
    row = batch.step(actions)
  return jax.tree.map(lambda *x: np.stack(x), *rows), jax.tree.map(lambda *x: np.stack(x), *before)
