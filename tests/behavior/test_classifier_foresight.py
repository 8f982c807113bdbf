"""What a classifier of images is told, and that plans come to where the image is like the examples."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dreamerax.behavior.actor_critic_v2 import ActorCriticV2
from dreamerax.behavior.base import Replayed, Situation
from dreamerax.behavior.classifier_foresight import ClassifierForesight, ClassifierForesightModule
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planners.cem import CEM
from dreamerax.behavior.planning import Planning
from dreamerax.nets.encoders import StridedEncoder
from dreamerax.nets.modules import params_of, with_params
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from tests import plain
from tests.behavior.blobs import SIDE, SPEC, WORLD, photographed

PLANNING = Planning(BlockCEM(horizon=4, repeat=1, candidates=64, elites=8), final_weight=10)
PLACE = jnp.array([5.0, 2.0])
B, T = 4, 8


def make(**fields: Any) -> ClassifierForesightModule:
  encoder = StridedEncoder(depth=4, stages=1)
  behavior = ClassifierForesight(PLANNING, encoder=encoder, units=16, **fields)
  return behavior.build(2, SPEC, dtype=jnp.float32, rngs=nnx.Rngs(0))


def batch(examples: jax.Array, seen: jax.Array) -> Replayed:
  """Of places [B, T, 2] either."""
  none = np.zeros(seen.shape[:2], bool)
  shown = {"image": photographed(seen), "goal/image": photographed(examples)}
  steps = Transition(shown, np.zeros((*none.shape, 2)), none.astype(np.float32), none, none, none)
  return Replayed(seen, seen, steps)


def random_batch(key: jax.Array) -> Replayed:
  """Examples lie near PLACE, and what was seen anywhere."""
  near, anywhere = jax.random.split(key)
  examples = PLACE + 0.3 * jax.random.normal(near, (B, T, 2))
  return batch(examples, jax.random.uniform(anywhere, (B, T, 2), maxval=SIDE - 1.0))


def loss(module: ClassifierForesightModule, replayed: Replayed, key: jax.Array) -> jax.Array:
  return module.losses({}, WORLD, {}, replayed, key).losses["classifier"]


def test_examples_are_told_from_what_was_seen():
  module, _ = plain.randomised(lambda: make(mixup=0.0))
  replayed, told = random_batch(jax.random.key(1)), []
  for name, label in (("goal/image", 1), ("image", 0)):
    images = replayed.steps.observation[name].reshape(-1, SIDE, SIDE, 1) / 255
    chance = plain.sigmoid(np.asarray(module.classifier(images), np.float64))
    told.append(-np.log(chance if label else 1 - chance))
  assert loss(module, replayed, jax.random.key(0)) == pytest.approx(np.mean(told), rel=1e-4)


def test_images_are_mixed_and_their_labels_in_the_same_shares():
  module, _ = plain.randomised(lambda: make(mixup=0.6))
  replayed, key = random_batch(jax.random.key(1)), jax.random.key(2)
  share_key, other_key = jax.random.split(key)
  share = 0.6 * np.asarray(jax.random.uniform(share_key, (2 * B * T,)))
  other = np.asarray(jax.random.permutation(other_key, 2 * B * T))
  shown = replayed.steps.observation
  images = (
    np.concatenate([np.asarray(shown[name]).reshape(-1, SIDE, SIDE, 1) for name in ("goal/image", "image")]) / 255
  )
  labels, told = np.repeat([1.0, 0.0], B * T), []
  for own, (part, index) in enumerate(zip(share, other, strict=True)):
    image = (1 - part) * images[own] + part * images[index]
    label = (1 - part) * labels[own] + part * labels[index]
    chance = plain.sigmoid(float(module.classifier(jnp.asarray(image[None]))[0]))
    told.append(-label * np.log(chance) - (1 - label) * np.log(1 - chance))
  assert loss(module, replayed, key) == pytest.approx(np.mean(told), rel=1e-4)


def test_a_state_is_worth_the_logarithm_of_its_images_probability():
  module, _ = plain.randomised(make)
  places = jnp.array([[1.0, 2.0], [5.0, 2.0]])
  world = module.judged(WORLD)
  chance = plain.sigmoid(np.asarray(module.classifier(WORLD.decode({"place": places})["image"])))
  np.testing.assert_allclose(world.reward(world.features({"place": places})), np.log(chance + 1e-5), rtol=1e-5)


def test_it_goes_where_the_examples_are():
  module = make(mixup=0.2)
  optimizer, params = optax.adam(3e-3), params_of(module)

  @jax.jit
  def update(params: Any, state: Any, key: jax.Array) -> Any:
    replayed = random_batch(key)
    gradient = jax.grad(lambda params: loss(with_params(module, params), replayed, key))(params)
    changes, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, changes), state

  state = optimizer.init(params)
  for key in jax.random.split(jax.random.key(0), 150):
    params, state = update(params, state, key)
  learned = with_params(module, params)

  @jax.jit
  def act(place: jax.Array, memory: Any, key: jax.Array) -> Any:
    return learned.act(WORLD, Situation({"place": place}, memory, {}, {}), key, explore=False)

  place, memory = np.array([[2.0, 2.0], [6.0, 5.0]]), learned.initial_memory(2)
  for key in jax.random.split(jax.random.key(1), 6):
    action, memory = act(jnp.asarray(place), memory, key)
    place = place + np.round(action)
  assert np.abs(place - PLACE).max() <= 1, place


def test_what_it_cannot_learn_from_is_refused_by_name():
  image, rngs = ArraySpec((16, 16, 3), "uint8"), nnx.Rngs(0)

  def build(behavior: ClassifierForesight, **observation: ArraySpec):
    behavior.build(2, EnvSpec(observation, ActionSpec(2)), dtype=jnp.float32, rngs=rngs)

  with pytest.raises(ValueError, match="learns from examples that the observation 'goal/image' shows, and the env"):
    build(ClassifierForesight(), image=image)
  shown = {"image": image, "goal/image": image}
  with pytest.raises(ValueError, match=r"behavior\.planning\.guide: a critic does not know the examples"):
    build(ClassifierForesight(Planning(CEM(), guide=ActorCriticV2())), **shown)
  for field, value, message in (("mixup", 1.5, "lie between 0 and 1"), ("units", 0, "be at least 1")):
    with pytest.raises(ValueError, match=f"{field}={value} must {message}"):
      ClassifierForesight(**{field: value})
