"""A reward from a few examples: how sure a classifier is that a state is one of those that were shown as goals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import BehaviorLosses, Optimizers, Replayed
from dreamerax.behavior.goals.observed import check_examples, goal_features, goal_names
from dreamerax.behavior.imagination import Latent, World
from dreamerax.behavior.rewards.base import Reward, StateReward
from dreamerax.nets.blocks import MLP, Linear
from dreamerax.nets.modules import Params
from dreamerax.ops.mixup import mixup
from dreamerax.ops.optimizers import Adam, Optimizer
from dreamerax.types import EnvSpec


@dataclass(frozen=True)
class ExampleClassifier(Reward):
  """The logit that a state is one of the examples of success (Fu et al. 2018, VICE; Singh et al. 2019, with images).

  The environment shows an example in each episode, as the hidden observation `goal/<name>` of every visible one: one of a
  handful, always the same. A network learns to tell them from replayed states by cross-entropy, with as many of either,
  mixed with each other (Zhang et al. 2018, mixup). Replayed states count as failures, successes among them too, so that
  the logit of a success falls as it becomes common.

  An example is seen alone (`World.glance`), and so are the replayed states that it is told from. A second network tells
  from a state with a memory how it would look alone; where a world model has no memory, it leaves states as they are.

  The published code mixes images where features are mixed here, and trains a policy on the logit as it is.
  """

  mixup: float = 1.0  # largest share of a mixture's second state, all shares equally likely; 0: nothing is mixed
  limit: float = 10.0  # of the reward: logits beyond are cut
  layers: int = 2  # hidden, of the networks
  units: int = 128  # of each hidden layer
  optimizer: Optimizer = field(default_factory=lambda: Adam(learning_rate=3e-4))

  def __post_init__(self):
    checks.between(0, 1, self, "mixup")
    checks.more_than_zero(self, "limit")
    checks.at_least(1, self, "layers", "units")

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ExampleClassifierModule":
    """Raises ValueError where the environment shows no examples, or others than what is seen."""
    check_examples(goal_names(spec), spec, "reward=ExampleClassifier", "reward")
    return ExampleClassifierModule(self, features, goal_names(spec), dtype=dtype, rngs=rngs)


class ExampleClassifierModule(StateReward):
  """Built from `ExampleClassifier`; children "classifier" and "alone"."""

  def __init__(self, config: ExampleClassifier, features: int, goals: tuple[str, ...], *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.goals = config, goals
    self.classifier = SmallNetwork(config, features, 1, dtype=dtype, rngs=rngs)
    self.alone = SmallNetwork(config, features, features, dtype=dtype, rngs=rngs)

  def __call__(self, world: World, features: jax.Array) -> jax.Array:
    return jnp.clip(self.logit(self.seen_alone(features)), -self.config.limit, self.config.limit)

  def logit(self, alone: jax.Array) -> jax.Array:
    """Features [..., F] of a state seen alone -> log-odds [...] that it is an example."""
    return self.classifier(alone)[..., 0]

  def seen_alone(self, features: jax.Array) -> jax.Array:
    """Features [..., F] -> those that `World.glance` would give of the same state, float32."""
    return features.astype(jnp.float32) + self.alone(features)

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """Cross-entropy of examples and replayed states, and the squared error of how these look alone."""
    example_key, glance_key, mix_key = jax.random.split(key, 3)
    failures = world.glance(jax.lax.stop_gradient(replayed.embed), glance_key).astype(jnp.float32)  # [B, T, F]
    shown = {name: replayed.steps.observation[name][:, 0] for name in self.goals}  # those of a row's first episode
    examples = goal_features(world, shown, example_key).astype(jnp.float32)  # [B, F]
    examples, failures = jax.lax.stop_gradient((examples, failures))
    examples = jnp.broadcast_to(examples[:, None], failures.shape)
    alike, others = (jax.lax.collapse(states, 0, 2) for states in (examples, failures))
    states, labels = mixup(alike, others, self.config.mixup, mix_key)
    error = self.seen_alone(jax.lax.stop_gradient(replayed.features)) - failures
    losses = {
      "classifier": optax.sigmoid_binary_cross_entropy(self.logit(states), labels).mean(),
      "classifier_alone": 0.5 * jnp.square(error).sum(-1).mean(),
    }
    logit = self.logit(failures)
    metrics = {
      "classifier/example_logit": self.logit(examples).mean(),
      "classifier/replayed_logit": logit.mean(),
      "classifier/replayed_positives": (logit > 0).mean(),
    }
    return BehaviorLosses(losses, slow, metrics)

  @property
  def optimizers(self) -> Optimizers:
    return {"classifier": self.config.optimizer, "alone": self.config.optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"classifier": 1.0, "classifier_alone": 1.0}


class SmallNetwork(nnx.Module):
  """From features to numbers, all zero before anything is learned."""

  def __init__(self, config: ExampleClassifier, features: int, outputs: int, *, dtype: Any, rngs: nnx.Rngs):
    self.mlp = MLP(features, config.units, config.layers, dtype=dtype, rngs=rngs)
    self.out = Linear(config.units, outputs, scale=0.0, dtype=dtype, rngs=rngs)

  def __call__(self, features: jax.Array) -> jax.Array:
    """[..., F] -> [..., outputs] float32."""
    return self.out(self.mlp(features)).astype(jnp.float32)
