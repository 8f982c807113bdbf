"""An environment and an agent small enough to train in a second, and able to learn."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dreamerax.envs.base import EnvBatch, Environment, Step
from dreamerax.envs.episode_log import Logged
from dreamerax.envs.journal import derive_seeds
from dreamerax.envs.vector import SerialEnvs
from dreamerax.replay import Replay, ReplayConfig
from dreamerax.runtime.result import TrainResult
from dreamerax.runtime.schedule import TrainRatio
from dreamerax.runtime.seeds import own_seed
from dreamerax.runtime.settings import LoopConfig, Parts, RunSettings
from dreamerax.runtime.train import train_run
from dreamerax.types import ActionSpec, ArraySpec, Batch, EnvSpec

SPEC = EnvSpec({"image": ArraySpec((4, 4, 3), "uint8"), "x": ArraySpec((1,))}, ActionSpec(1))


class Follow(Environment):
  """Shows a number in [-0.9, 0.9]; the reward is 1 minus the squared distance of the action from it."""

  def __init__(self, seed: int = 0, length: int = 10):
    self.length, self.clock = length, 0
    self._rng = np.random.default_rng(seed)

  @property
  def spec(self) -> EnvSpec:
    return SPEC

  def reset(self, seed: int | None = None) -> Step:
    if seed is not None:
      self._rng = np.random.default_rng(seed)
    self.clock = 0
    return self._show(0.0)

  def step(self, action: np.ndarray) -> Step:
    self.clock += 1
    return self._show(1 - float(action[0] - self._x) ** 2)

  def _show(self, reward: float) -> Step:
    self._x = self._rng.uniform(-0.9, 0.9)
    observation = {"image": np.full((4, 4, 3), self.clock, np.uint8), "x": np.array([self._x], np.float32)}
    log = {"x": self._x, "success": self._x > 0.8}
    return Step(observation, reward, self.clock == 0, self.clock == self.length, False, log)


def make_envs(num_envs: int, seed: int, *, film: bool = False) -> EnvBatch:
  seeds = derive_seeds(seed, num_envs)
  return SerialEnvs([Logged(Follow(one)) for one in seeds], seeds)


class Regression:
  """Predicts the reward as 1 - (action - k x)^2, learns k by regression, and acts with k x."""

  latent_spec: Mapping[str, ArraySpec] = {"memory": ArraySpec((1,))}

  def __init__(self, learning_rate: float = 0.1, shape: tuple[int, ...] = ()):
    self.shape = shape
    self._optimizer = optax.adam(learning_rate)

  def parameter_count(self) -> int:
    return int(np.prod(self.shape))

  def init(self, key: jax.Array) -> dict[str, Any]:
    k = 0.1 * jax.random.normal(key, self.shape)
    return {"params": {"k": k}, "optimizer": self._optimizer.init({"k": k})}

  def policy_params(self, state: dict[str, Any]) -> dict[str, jax.Array]:
    return state["params"]

  def initial_carry(self, num_envs: int) -> jax.Array:
    return jnp.zeros((num_envs, 1))

  def act(self, params, carry, observation, is_first, key, *, explore: bool):
    action = params["k"].mean() * observation["x"]
    if explore:
      action += 0.5 * jax.random.normal(key, action.shape)
    return jnp.clip(action, -1, 1), observation["x"], {"memory": observation["x"]}

  def update(self, state, batch: Batch, key: jax.Array):
    steps = batch.steps

    def loss(params):
      predicted = 1 - (steps.action[:, 1:] - params["k"].mean() * steps.observation["x"][:, :-1])[..., 0] ** 2
      return jnp.where(steps.is_first[:, 1:], 0, (predicted - steps.reward[:, 1:]) ** 2).mean()

    value, gradient = jax.value_and_grad(loss)(state["params"])
    change, optimizer = self._optimizer.update(gradient, state["optimizer"])
    params = optax.apply_updates(state["params"], change)
    metrics = {"loss/reward": value, "noise": jax.random.uniform(key)}
    return {"params": params, "optimizer": optimizer}, {"memory": 100 + steps.observation["x"]}, metrics

  def report(self, state, batch: Batch, key: jax.Array):
    return {"open_loop/image": batch.steps.observation["image"][0], "report/k": state["params"]["k"].mean()}


REPLAY = ReplayConfig(capacity=4000, batch_size=8, batch_length=8)


def make_replay(config: ReplayConfig = REPLAY, streams: int = 4, seed: int = 0, kind: type[Replay] = Replay) -> Replay:
  return kind(SPEC, Regression.latent_spec, config=config, streams=streams, seed=seed)


def run(logdir: Path, *, env_steps: int = 1200, seed: int = 0, **options: Any) -> TrainResult:
  """A whole small run: 4 environments, action repeat 2, ratio 8; on several hosts 4 and a share of the batch on each."""
  defaults = {"prefill_steps": 60, "eval_every": 400, "eval_episodes": 3, "video_every": 600, "log_every": 1000.0}
  agent, envs = options.pop("agent", Regression()), options.pop("make_envs", make_envs)
  mesh, initial = options.pop("mesh", None), options.pop("initial", lambda state: state)
  replay, context = options.pop("replay", REPLAY), options.pop("context", None)
  remote = options.pop("remote", None)
  replay = dataclasses.replace(replay, batch_size=replay.batch_size // jax.process_count())
  schedule = TrainRatio(8, REPLAY.batch_size * REPLAY.batch_length)
  made = make_replay(replay, seed=own_seed(seed, jax.process_index()))
  settings = RunSettings(
    LoopConfig(**(defaults | options)),
    logdir,
    env_steps=env_steps,
    num_envs=4,
    action_repeat=2,
    seed=seed,
    task="follow",
    mesh=mesh,
  )
  return train_run(Parts(agent, envs, made, schedule, initial, remote), settings, context=context)
