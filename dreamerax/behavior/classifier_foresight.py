"""Visual foresight with a classifier of success: plans in predicted images that look like examples of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from dreamerax import checks
from dreamerax.behavior.base import BehaviorLosses, BehaviorModule, Memory, Optimizers, Replayed, Situation
from dreamerax.behavior.goals.observed import check_examples
from dreamerax.behavior.image_planner import ImagePlanner, ImagePlannerModule, decoded, shown_images, stacked
from dreamerax.behavior.imagination import Latent, World, wrap
from dreamerax.nets.blocks import MLP, Linear
from dreamerax.nets.encoders import Encoder, StridedEncoder
from dreamerax.nets.modules import Params, frozen
from dreamerax.ops.mixup import mixup
from dreamerax.ops.optimizers import Adam, Optimizer
from dreamerax.types import GOAL, ArraySpec, EnvSpec

_LEAST = 1e-5  # added to a probability before its logarithm


@dataclass(frozen=True)
class ClassifierForesight(ImagePlanner):
  """Plans so that a classifier takes the predicted images for examples of success (Xie et al. 2018; Ebert et al. 2018).

  A state is worth log(p + 1e-5), where p is the probability of success in its image. The environment shows an example in
  each episode, as "goal/<name>" of every image: one of a handful, always the same. A convolutional network of its own
  learns to tell them from replayed images by cross-entropy, with as many of either, mixed with each other. Replayed images
  count as failures, successes among them too. The published classifier is learned for many tasks at once, and adapted to
  the examples of one by a gradient step; this one is of one task.
  """

  encoder: Encoder = field(default_factory=lambda: StridedEncoder(depth=16, stages=3))
  layers: int = 1  # hidden, after the encoder
  units: int = 128  # of each hidden layer
  mixup: float = 1.0  # largest share of a mixture's second image, all shares equally likely; 0: nothing is mixed
  optimizer: Optimizer = field(default_factory=lambda: Adam(learning_rate=3e-4))

  def __post_init__(self):
    checks.at_least(1, self, "layers", "units")
    checks.between(0, 1, self, "mixup")

  def build(self, features: int, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ClassifierForesightModule":
    """Raises ValueError where images are missing, of two sizes or without examples, or a critic guides the planner."""
    shape = self.image_shape(spec, "the examples")
    examples = shown_images(spec)
    check_examples(examples, spec, "ClassifierForesight", "behaviour")
    planning = self.planning.build(1, spec, dtype=dtype, rngs=rngs)
    return ClassifierForesightModule(self, planning, ImageClassifier(self, shape, dtype=dtype, rngs=rngs), examples)


class ImageClassifier(nnx.Module):
  """Images [N, H, W, C] in [0, 1] -> log-odds [N] of success, zero before anything is learned."""

  def __init__(self, config: ClassifierForesight, shape: tuple[int, int, int], *, dtype: Any, rngs: nnx.Rngs):
    self.encoder = config.encoder.build({"image": ArraySpec(shape, "uint8")}, dtype=dtype, rngs=rngs)
    self.mlp = MLP(self.encoder.output_size, config.units, config.layers, dtype=dtype, rngs=rngs)
    self.out = Linear(config.units, 1, scale=0.0, dtype=dtype, rngs=rngs)

  def __call__(self, images: jax.Array) -> jax.Array:
    return self.out(self.mlp(self.encoder({"image": 255 * images})))[..., 0].astype(jnp.float32)


class ClassifierForesightModule(ImagePlannerModule):
  """Built from `ClassifierForesight`; child "classifier"."""

  compares_images = True

  def __init__(
    self, config: ClassifierForesight, planning: BehaviorModule, classifier: ImageClassifier, examples: tuple[str, ...]
  ):
    """examples: names of the observations that show examples of the images."""
    self.config, self.planning, self.classifier, self.examples = config, planning, classifier, examples

  def act(self, world: World, now: Situation, key: jax.Array, *, explore: bool) -> tuple[jax.Array, Memory]:
    return self.planning.act(wrap(world, self.judged), now, key, explore=explore)

  def judged(self, world: World) -> World:
    """The world where a state is worth the logarithm of its image's probability of success."""
    classifier = frozen(self.classifier)

    def worth(latent: Latent) -> jax.Array:
      return jnp.log(jax.nn.sigmoid(classifier(decoded(world, latent, self.examples))) + _LEAST)[..., None]

    return world._replace(features=worth, reward=lambda features: features[..., 0])

  def losses(self, slow: Params, world: World, start: Latent, replayed: Replayed, key: jax.Array) -> BehaviorLosses:
    """Cross-entropy of examples and replayed images."""
    shown = replayed.steps.observation
    seen = tuple(name.removeprefix(GOAL) for name in self.examples)
    examples, failures = (jax.lax.collapse(stacked(shown, names), 0, 2) for names in (self.examples, seen))
    images, labels = mixup(examples, failures, self.config.mixup, key)  # [2 B T, H, W, C]
    logits = self.classifier(images)
    loss = optax.sigmoid_binary_cross_entropy(logits, labels).mean()
    return BehaviorLosses({"classifier": loss}, slow, {})

  @property
  def optimizers(self) -> Optimizers:
    return {"classifier": self.config.optimizer}

  @property
  def scales(self) -> Mapping[str, float]:
    return {"classifier": 1.0}
