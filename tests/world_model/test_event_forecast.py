"""Foreseen events: loss and gradients against a loop, what is left out, what is refused."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.dynamics.embedding import Embedded, EmbeddedModule
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import Residual
from dreamerax.nets.heads import BinaryHead
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from dreamerax.world_model.objectives.base import Seen, Sizes
from dreamerax.world_model.objectives.event_forecast import EventForecast
from tests import plain

B, T, N, EMBED, ACTION = 2, 5, 2, 3, 2
NUMBER = ArraySpec((1,))
SPEC = EnvSpec({"x": ArraySpec((EMBED,)), "event/contact": NUMBER, "event/fall": NUMBER}, ActionSpec(ACTION))
DYNAMICS = Embedded(Residual(layers=1, units=4), Deterministic(dims=N), layers=0)
CONFIG = EventForecast(
  ("event/contact", "event/fall"), ahead=3, positive_weight=4.0, head=BinaryHead(layers=1, units=4)
)


class Parts(NamedTuple):
  """The parts of a world model that the objective needs."""

  dynamics: EmbeddedModule

  def features(self, latent):
    return latent["stoch"]


def build(config: EventForecast = CONFIG, spec: EnvSpec = SPEC):
  return config.build(Sizes(EMBED, N, 0), spec, dtype=jnp.float32, rngs=nnx.Rngs(0))


def steps() -> Transition:
  """An episode begins within the first sequence."""
  rng = np.random.default_rng(0)
  x, action = (rng.normal(size=(B, T, size)).astype(np.float32) for size in (EMBED, ACTION))
  first, flags = np.zeros((B, T), bool), np.zeros((B, T), bool)
  first[0, 2] = True
  events = {name: rng.integers(0, 2, (B, T, 1)).astype(np.float32) for name in CONFIG.names}
  return Transition({"x": x, **events}, action, np.zeros((B, T), np.float32), first, flags, flags)


def run(modules, params, steps: Transition, x: jax.Array) -> dict[str, jax.Array]:
  dynamics, objective = (with_params(module, each) for module, each in zip(modules, params, strict=True))
  action, first = jnp.asarray(steps.action), jnp.asarray(steps.is_first)
  latents, posterior = dynamics.observe(dynamics.initial(B), action, x, first, jax.random.key(0))
  seen = Seen(steps.observation, x, latents, posterior, dynamics.prior(latents))
  return objective.losses({}, Parts(dynamics), seen, steps, jnp.int32(0), jax.random.key(1))


def by_loop(dynamics: dict, objective: dict, steps: Transition, x: np.ndarray) -> dict[str, float]:
  z, transition, losses = plain.linear(dynamics["out"], x), dynamics["transition"], {name: [] for name in CONFIG.names}
  for b, t in np.ndindex(B, T):
    state = z[b, t]
    for later in range(t + 1, min(t + 4, T)):
      if steps.is_first[b, later]:
        break
      inside = np.concatenate([state, steps.action[b, later]])
      state = state + plain.linear(transition["out"], plain.plain_mlp(transition["mlp"], inside, plain.relu))
      for name in CONFIG.names:
        head = objective["heads"][name.removeprefix("event/")]
        probability = plain.sigmoid(plain.linear(head["out"], plain.mlp(head["mlp"], state[None]))[0, 0])
        happens = steps.observation[name][b, later, 0] > 0.5
        losses[name].append(-4 * np.log(probability) if happens else -np.log(1 - probability))
  assert len(losses["event/fall"]) == 9 + 1 + 3  # from the second row, and from both episodes of the first
  return {name.replace("event/", "events/"): float(np.mean(each)) for name, each in losses.items()}


def test_losses_and_gradients_are_those_of_a_loop():
  dynamics, plain_dynamics = plain.randomised(
    lambda: DYNAMICS.build(EMBED, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0))
  )
  objective, plain_objective = plain.randomised(build, seed=1)
  given, modules = steps(), (dynamics, objective)

  @jax.jit
  def both(params, x):
    def total(params, x):
      losses = run(modules, params, given, x)
      return sum(losses.values(), start=jnp.zeros(())), losses

    return jax.grad(total, argnums=(0, 1), has_aux=True)(params, x)

  params = params_of(dynamics), params_of(objective)
  (of_params, of_x), losses = both(params, given.observation["x"])
  x = np.float64(given.observation["x"])
  expected = by_loop(plain_dynamics, plain_objective, given, x)
  assert losses.keys() == expected.keys() == objective.scales.keys()
  for name, value in expected.items():
    assert losses[name] == pytest.approx(value, rel=1e-4)
  step = plain_dynamics["transition"]["out"]["kernel"], of_params[0]["transition"]["out"]["kernel"]
  for (array, gradient), place in (((x, of_x), (0, 2, 1)), ((x, of_x), (1, 0, 0)), (step, (2, 1))):
    ends, kept = [], array[place]
    for nudge in (1e-5, -1e-5):
      array[place] = kept + nudge
      ends.append(sum(by_loop(plain_dynamics, plain_objective, given, x).values()))
    array[place] = kept
    assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=2e-3, abs=1e-5)
  assert not np.any(of_x[:, -1])  # nothing follows the last step


def test_probabilities_are_those_of_the_heads_by_the_events_names():
  objective, params = plain.randomised(build)
  features = np.random.default_rng(0).normal(size=(3, N)).astype(np.float32)
  found = objective.event_probabilities(features)
  assert tuple(found) == objective.events == CONFIG.names
  head = params["heads"]["fall"]
  expected = plain.sigmoid(plain.linear(head["out"], plain.mlp(head["mlp"], np.float64(features)))[:, 0])
  np.testing.assert_allclose(found["event/fall"], expected, rtol=1e-4)


def test_sequences_that_end_before_the_last_foreseen_step_are_refused():
  dynamics = DYNAMICS.build(EMBED, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0))
  long, short = replace(CONFIG, ahead=T - 1), replace(CONFIG, ahead=T)
  assert run((dynamics, build(long)), (params_of(dynamics), params_of(build(long))), steps(), steps().observation["x"])
  with pytest.raises(ValueError, match=f"replay.batch_length={T}: .* ahead={T} .* raise it to {T + 1}"):
    run((dynamics, build(short)), (params_of(dynamics), params_of(build(short))), steps(), steps().observation["x"])


def test_events_that_are_not_shown_are_refused_by_name():
  with pytest.raises(
    ValueError, match="event 'event/touch' is not shown: the environment's events are event/contact, eve"
  ):
    build(EventForecast(("event/touch",)))
  with pytest.raises(ValueError, match="event 'x' is not shown"):
    build(EventForecast(("x",)))
  with pytest.raises(ValueError, match="event 'event/contact' is not shown: the environment's events are none"):
    build(EventForecast(), EnvSpec({"x": NUMBER}, ActionSpec(2)))
  with pytest.raises(ValueError, match=r"event 'event/contact' has the shape \[2\]: let the environment show a single"):
    build(EventForecast(), EnvSpec({"event/contact": ArraySpec((2,))}, ActionSpec(2)))
  with pytest.raises(ValueError, match="names is empty"):
    EventForecast(())
  with pytest.raises(ValueError, match="ahead=0 must be at least 1"):
    EventForecast(ahead=0)
