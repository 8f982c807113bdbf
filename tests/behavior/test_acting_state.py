"""State beside the parameters decides: a behaviour whose gains least squares fit, in one update, a checkpoint and a file."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dreamerax.agent import Agent
from dreamerax.behavior.base import Behavior, BehaviorLosses, BehaviorModule, Memory, Replayed, Situation
from dreamerax.behavior.imagination import World
from dreamerax.config_file import spec_to_dict
from dreamerax.deploy.export import export, make_policy
from dreamerax.deploy.policy import load
from dreamerax.nets.modules import Params
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, Checkpoints, load_state
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import init_state
from dreamerax.types import EnvSpec
from tests import tiny
from tests.runtime.checkpoint.test_checkpoints import saved


@dataclass(frozen=True)
class Regression(Behavior):
  """Repeats what was done in such states: the newest batch's actions, linear in features."""

  ridge: float = 1.0

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "RegressionModule":
    return RegressionModule(self.ridge, features, spec.action.size)


class RegressionModule(BehaviorModule):
  def __init__(self, ridge: float, features: int, actions: int):
    self.ridge, self.shape = ridge, (features, actions)

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    return world.features(now.latent) @ now.state["gains"], now.memory

  def init_slow(self) -> Params:
    return {"gains": jnp.zeros(self.shape), "fits": jnp.zeros((), jnp.int32)}

  def acting(self, slow: Params) -> Params:
    return {"gains": slow["gains"]}

  def losses(self, slow: Params, world: World, start, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    steps = replayed.steps
    within = ~steps.is_first[:, 1:, None]
    features = jnp.where(within, jax.lax.stop_gradient(replayed.features[:, :-1]), 0).reshape(-1, self.shape[0])
    actions = steps.action[:, 1:].reshape(-1, self.shape[1])
    square = features.T @ features + self.ridge * jnp.eye(self.shape[0])
    return BehaviorLosses({}, {"gains": jnp.linalg.solve(square, features.T @ actions), "fits": slow["fits"] + 1}, {})


AGENT = Agent(replace(tiny.config(), behavior=Regression()), tiny.VECTOR)


@cache
def updated() -> tuple[Any, Any]:
  """A state after one update, and the features [B, T, F] of its batch."""
  state = init_state(AGENT, local_mesh(), jax.random.key(0))
  new, latents, _ = jax.jit(AGENT.update)(state, tiny.batch(AGENT), jax.random.key(1))
  dynamics = AGENT.modules(state["params"])[0].dynamics  # type: ignore[attr-defined]
  return new, dynamics.features(dynamics.unpack(latents))


def shown(seed: int = 0) -> dict[str, np.ndarray]:
  return tiny.observation(tiny.VECTOR, 3, seed=seed)


def test_an_update_fits_the_gains_that_loops_find():
  state, features = updated()
  rows = tiny.batch(AGENT).steps
  pairs = [(b, t) for b in range(4) for t in range(1, 5) if not rows.is_first[b, t]]
  inputs = np.array([features[b, t - 1] for b, t in pairs], np.float64)
  actions = np.array([rows.action[b, t] for b, t in pairs], np.float64)
  size = inputs.shape[1]
  whole = np.concatenate([inputs, np.eye(size)]), np.concatenate([actions, np.zeros((size, 2))])
  np.testing.assert_allclose(state["slow"]["gains"], np.linalg.lstsq(*whole)[0], rtol=1e-3, atol=1e-4)
  assert state["slow"]["fits"] == 1


def test_acting_gets_what_it_needs_of_the_state_and_no_more():
  state, _ = updated()
  params, carry = AGENT.policy_params(state), AGENT.initial_carry(3)
  assert params.keys() == {"world_model", "behavior", "state"} and params["state"].keys() == {"gains"}
  act = jax.jit(AGENT.act, static_argnames="explore")
  action, carry, _ = act(params, carry, shown(), np.ones(3, bool), jax.random.key(0), explore=True)
  features = AGENT.modules(params)[0].features(carry["latent"])
  np.testing.assert_allclose(action, features @ state["slow"]["gains"], rtol=1e-4, atol=1e-6)
  again, _ = AGENT.choose(params, carry, jax.random.key(1))
  np.testing.assert_allclose(again, action, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_keeps_the_gains_and_a_file_has_them(tmp_path: Path):
  state, _ = updated()
  checkpoints = Checkpoints(tmp_path / FOLDER)
  checkpoints.save(state, saved(10))
  checkpoints.close()
  loaded, _ = load_state(tmp_path, AGENT)
  jax.tree.map(np.testing.assert_array_equal, loaded, state)
  params, header = AGENT.policy_params(loaded), {"spec": spec_to_dict(AGENT.policy_spec)}
  export(AGENT, params, tmp_path / "policy.bin", explore=False, batch=None, platforms=("cpu",), header=header)
  policies = make_policy(AGENT, params, explore=False, header=header), load(tmp_path / "policy.bin")
  actions = [policy(shown(1))[0] for policy in policies]
  assert np.abs(actions[0]).max() > 1e-3
  np.testing.assert_allclose(*actions, rtol=1e-4, atol=1e-6)
