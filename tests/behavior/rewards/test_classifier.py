"""A reward from examples against loops in NumPy: what is told from what, how it is mixed, and what it comes to say."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dreamerax.behavior.base import Replayed
from dreamerax.behavior.rewards.classifier import ExampleClassifier
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from tests import plain
from tests.behavior.small_world import ACTION, F, make_world

B, T = 3, 4
X = ArraySpec((F,))
SPEC = EnvSpec({"x": X, "goal/x": X}, ActionSpec(ACTION))
WORLD = make_world(0.5)._replace(glance=lambda embed, key: 2 * embed)  # what is seen alone looks different


def build(**fields: Any):
  return ExampleClassifier(layers=1, units=12, **fields).build(F, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


def batch(examples: Any, features: Any, embed: Any) -> Replayed:
  none = np.zeros(features.shape[:2], bool)
  steps = Transition({"goal/x": examples}, np.zeros((*none.shape, ACTION)), none.astype(np.float32), none, none, none)
  return Replayed(features, embed, steps)


def random_batch() -> Replayed:
  return batch(*np.random.default_rng(0).normal(size=(3, B, T, F)).astype(np.float32))


def network(params: Any, inputs: Any) -> np.ndarray:
  return plain.linear(params["out"], plain.mlp(params["mlp"], np.asarray(inputs)[None]))[0]


def cross_entropy(params: Any, state: Any, label: float) -> float:
  chance = plain.sigmoid(network(params["classifier"], state)[0])
  return -label * np.log(chance) - (1 - label) * np.log(1 - chance)


def losses(module: Any, replayed: Replayed, key: Any = None) -> Any:
  return module.losses({}, WORLD, {}, replayed, jax.random.key(0) if key is None else key)


def test_examples_and_replayed_states_are_seen_alone_and_there_are_as_many_of_either():
  module, params = plain.randomised(lambda: build(mixup=0.0))
  replayed, told, alone = random_batch(), [], []
  for b in range(B):
    for t in range(T):
      told += [cross_entropy(params, 2 * replayed.steps.observation["goal/x"][b, 0], 1)]
      told += [cross_entropy(params, 2 * replayed.embed[b, t], 0)]
      here = replayed.features[b, t]
      alone.append(0.5 * np.square(here + network(params["alone"], here) - 2 * replayed.embed[b, t]).sum())
  found = losses(module, replayed).losses
  assert found["classifier"] == pytest.approx(np.mean(told), rel=1e-4)
  assert found["classifier_alone"] == pytest.approx(np.mean(alone), rel=1e-4)


def test_mixtures_are_of_two_states_and_have_their_labels_in_the_same_shares():
  module, params = plain.randomised(lambda: build(mixup=0.4))
  replayed, key = random_batch(), jax.random.key(3)
  share_key, other_key = jax.random.split(jax.random.split(key, 3)[2])
  share = 0.4 * np.asarray(jax.random.uniform(share_key, (2 * B * T,)))
  other = np.asarray(jax.random.permutation(other_key, 2 * B * T))
  examples = [2 * replayed.steps.observation["goal/x"][b, 0] for b in range(B) for _ in range(T)]
  states = examples + [2 * replayed.embed[b, t] for b in range(B) for t in range(T)]
  labels = [1.0] * (B * T) + [0.0] * (B * T)
  told = []
  for own, (part, index) in enumerate(zip(share, other, strict=True)):
    state = (1 - part) * states[own] + part * states[index]
    told.append(cross_entropy(params, state, (1 - part) * labels[own] + part * labels[index]))
  assert losses(module, replayed, key).losses["classifier"] == pytest.approx(np.mean(told), rel=1e-4)


def test_nothing_is_told_to_the_world_model():
  module, _ = plain.randomised(build)
  replayed = random_batch()

  def total(features: Any, embed: Any) -> Any:
    return sum(losses(module, replayed._replace(features=features, embed=embed)).losses.values())

  for gradient in jax.grad(total, (0, 1))(replayed.features, replayed.embed):
    np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def test_it_pays_for_states_like_the_examples_up_to_its_limit_and_knows_them_by_their_features():
  """Examples lie around (0.5, 0.5), the others anywhere; seen alone, a state is twice its embedding, and with a memory
  three times."""
  module = build(mixup=0.2, limit=2.0)
  optimizer, params = optax.adam(1e-2), params_of(module)

  @jax.jit
  def step(params: Any, state: Any, key: Any) -> Any:
    place_key, example_key, key = jax.random.split(key, 3)
    place = jax.random.uniform(place_key, (8, 8, F), minval=-1, maxval=1)
    examples = 0.5 + 0.05 * jax.random.normal(example_key, (8, 8, F))
    replayed = batch(examples, 3 * place, place)

    def loss(params: Any) -> Any:
      return sum(losses(with_params(module, params), replayed, key).losses.values())

    changes, state = optimizer.update(jax.grad(loss)(params), state)
    return optax.apply_updates(params, changes), state

  state = optimizer.init(params)
  for key in jax.random.split(jax.random.key(0), 400):
    params, state = step(params, state, key)
  learned = with_params(module, params)
  there, beside, far = (learned(WORLD, 3 * jnp.array(place)) for place in ([0.5, 0.5], [0.5, -0.2], [-0.8, -0.8]))
  assert there > 0.5 > -0.5 > beside and far == -2.0


def test_an_environment_without_examples_or_with_others_is_refused():
  def on(**observation: ArraySpec):
    return ExampleClassifier().build(F, EnvSpec(observation, ActionSpec(ACTION)), dtype=jnp.float32, rngs=nnx.Rngs(0))

  with pytest.raises(
    ValueError, match="ExampleClassifier learns from examples that the observation 'goal/x' shows, and"
  ):
    on(x=X)
  with pytest.raises(ValueError, match=r"observation 'goal/x' is float32 \[3\], and 'x' is float32 \[2\]"):
    on(**{"x": X, "goal/x": ArraySpec((3,))})


@pytest.mark.parametrize(
  ("field", "value", "message"),
  [
    ("mixup", 1.1, "lie between 0 and 1"),
    ("limit", 0.0, "be more than 0"),
    ("layers", 0, "be at least 1"),
    ("units", 0, "be at least 1"),
  ],
)
def test_figures_that_make_no_sense_are_refused(field, value, message):
  with pytest.raises(ValueError, match=f"{field}={value} must {message}"):
    ExampleClassifier(**{field: value})
