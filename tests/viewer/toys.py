"""A tiny agent's sessions, with starts of random steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Thread
from typing import Any

import jax
import numpy as np

from dreamerax.agent import Agent
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.envs.suites.actions import random_actions
from dreamerax.types import EnvSpec, Transition
from dreamerax.viewer.dreams import Dreamer
from dreamerax.viewer.server import Server
from dreamerax.viewer.sessions import Sessions
from dreamerax.viewer.starts import DreamStart, Starts
from tests import tiny


def dreamer(spec: str = "PIXELS") -> Dreamer:
  """spec: name of one of `tiny`. Its latents are certain, so that a dream follows from its actions alone."""
  return _dreamer(spec)


@cache
def _dreamer(spec: str) -> Dreamer:
  agent = Agent(tiny.config(Deterministic()), getattr(tiny, spec))
  return Dreamer(agent, parameters(agent))


def parameters(agent: Agent) -> Any:
  """Not those of a fresh agent, which expects no reward and hardly acts."""
  rng = np.random.default_rng(0)
  shapes = agent.policy_params(jax.eval_shape(agent.init, jax.random.key(0)))
  params = jax.tree.map(lambda x: rng.normal(size=x.shape, scale=0.3).astype(np.float32), shapes)
  return jax.device_put(params, jax.devices()[0])


def steps(spec: EnvSpec, length: int = 3, seed: int = 0) -> Transition:
  """[T, ...] from the middle of an episode."""
  rng = np.random.default_rng(seed)
  action = rng.uniform(-1, 1, (length, spec.action.size)).astype(np.float32)
  if spec.action.discrete:
    action = random_actions(spec.action, rng, length)
  none = np.zeros(length, bool)
  return Transition(tiny.observation(spec, length, seed=seed), action, np.zeros(length, np.float32), none, none, none)


class Anywhere(Starts):
  """Other steps in every hundredth."""

  label = "anywhere"

  def __init__(self, spec: EnvSpec):
    self._spec = spec

  def at(self, where: float) -> DreamStart:
    if not 0 <= where <= 1:
      raise ValueError(f"where={where} must lie in [0, 1]")
    return DreamStart(steps(self._spec, seed=round(100 * where)), f"at {where}")


def sessions(spec: str = "PIXELS", **options: int) -> Sessions:
  """spec: as `dreamer` has it."""
  title = {"run": "tiny", "task": "toy"}
  return Sessions(dreamer(spec), Anywhere(dreamer(spec).agent.spec), title=title, seed=0, **options)


@contextmanager
def serving(spec: str = "PIXELS") -> Iterator[Server]:
  with Server(sessions(spec), port=0) as server:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
      yield server
    finally:
      server.shutdown()
      thread.join()
