"""Array programs that cost nothing, as a user's module with factories has them, and pairs as brax and gymnax have them."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dreamerax.jitted import ArrayEnv, Outcome, from_brax, from_gymnax
from dreamerax.types import ActionSpec


class Drift(ArrayEnv):
  """A place that noise and actions move, drawn as a dot; what it should be is hidden. Terminal far away, 9 steps at most."""

  max_steps = 9

  def __init__(self, image_size: int = 16, far: float = 2.0):
    self.size, self.far = image_size, far

  @property
  def action(self) -> ActionSpec:
    return ActionSpec(2)

  def reset(self, key):
    key, place, goal = jax.random.split(key, 3)
    return {"key": key, "place": jax.random.uniform(place, (2,), minval=-1), "goal": jax.random.uniform(goal, (2,))}

  def step(self, state, action):
    key, noise = jax.random.split(state["key"])
    place = state["place"] + 0.3 * action + 0.1 * jax.random.normal(noise, (2,))
    far = jnp.abs(place).max()
    log = {"far": far, "success": far < 0.5}
    return {**state, "key": key, "place": place}, Outcome(
      1 - jnp.abs(place - state["goal"]).mean(), far > self.far, log
    )

  def observe(self, state):
    rows, columns = (jnp.linspace(-1, 1, self.size)[:, None], jnp.linspace(-1, 1, self.size))
    near = (jnp.square(rows - state["place"][0]) + jnp.square(columns - state["place"][1])) < 0.05
    image = jnp.broadcast_to(jnp.where(near, 255, 0)[..., None], (self.size, self.size, 3)).astype(jnp.uint8)
    return {"image": image, "place": state["place"], "goal/place": state["goal"]}


class Changed(Drift):
  """One whose methods are given, to be wrong in."""

  def __init__(self, **methods):
    super().__init__()
    vars(self).update(methods)


def drift(image_size: int = 16) -> ArrayEnv:
  return Drift(image_size)


def fixed() -> ArrayEnv:
  return Drift()


def nothing() -> None:
  return None


def broken() -> ArrayEnv:
  raise OSError("no license left")


class BraxState(NamedTuple):
  place: jax.Array
  obs: jax.Array
  reward: jax.Array
  done: jax.Array


class Braxlike:
  """Falls, at random, at the fifth step or so."""

  action_size = 1

  def reset(self, rng):
    place = jax.random.normal(rng, ())
    return BraxState(place, jnp.stack([place, place]), jnp.zeros(()), jnp.zeros(()))

  def step(self, state, action):
    place = state.place + action[0]
    return BraxState(place, jnp.stack([place, -place]), place, (jnp.abs(place) > 4).astype(jnp.float32))


def braxlike() -> ArrayEnv:
  return from_brax(Braxlike(), max_steps=6)


class GymnaxParams(NamedTuple):
  max_steps_in_episode: int = 5

  def replace(self, **changes):
    return self._replace(**changes)


class Gymnaxlike:
  """Counts what is chosen, one of three; over at a count of 4, or when the time is up."""

  default_params = GymnaxParams()

  def action_space(self, params):
    return SimpleNamespace(n=3)

  def reset_env(self, key, params):
    return jnp.zeros(3, jnp.int32), {"counts": jnp.zeros(3, jnp.int32), "time": 0}

  def step_env(self, key, state, action, params):
    counts = state["counts"].at[action].add(1)
    time = state["time"] + 1
    done = (counts.max() == 4) | (time >= params.max_steps_in_episode)
    return counts, {"counts": counts, "time": time}, counts.max().astype(jnp.float32), done, {}


def gymnaxlike() -> ArrayEnv:
  return from_gymnax(Gymnaxlike())


class Pendulumlike(Gymnaxlike):
  """Shows what it was told to do, two numbers, within their bounds."""

  def action_space(self, params):
    return SimpleNamespace(shape=(2,), low=jnp.array([-2.0, 0.0]), high=jnp.array([2.0, 2.0]))

  def reset_env(self, key, params):
    return jnp.zeros(2), {"time": 0}

  def step_env(self, key, state, action, params):
    return action, {"time": state["time"] + 1}, jnp.zeros(()), jnp.array(False), {}


def pendulumlike() -> ArrayEnv:
  return from_gymnax(Pendulumlike())


class Tiles(Drift):
  """Shows a picture of 10 x 10 beside its place: the left half is dark."""

  def observe(self, state):
    picture = jnp.zeros((10, 10, 2), jnp.uint8).at[:, 5:].set(255)
    return {**super().observe(state), "image": picture}


def tiles() -> ArrayEnv:
  return Tiles(far=1.2)
