"""A world model whose latents are frames and what a predictor of frames remembers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import Latent, reset_where
from dreamerax.nets.encoders import Encoder, StridedEncoder
from dreamerax.nets.heads import ScalarHead, TwoHotHead
from dreamerax.nets.modules import Params
from dreamerax.nets.observations import (
  advice,
  center_crop,
  center_pad,
  image_keys,
  stacked_image_shape,
  vector_shapes,
)
from dreamerax.ops.advection import advect
from dreamerax.ops.scan import forgetful
from dreamerax.types import ArrayDict, ArraySpec, Batch, EnvSpec, Transition
from dreamerax.world_model.base import WorldModelBase, WorldModelBaseModule
from dreamerax.world_model.video.curriculum import Curriculum
from dreamerax.world_model.video.oh import Oh
from dreamerax.world_model.video.predictor import FramePredictor, Predicted
from dreamerax.world_model.video.training import Frames, FrameTraining

_LEAST = 2  # pixels a side that the predictor's smallest map has at least


@dataclass(frozen=True)
class VideoModel(WorldModelBase):
  """Predicts images from images: the latent is the newest frame, and the predictor's memory of those before it.

  A frame is seen as it is, and a dream goes on from its own frames. Rewards are read from an embedding of the frame, and
  give the predictor no gradient. The end of an episode is not foreseen. Replay stores no latents.
  """

  predictor: FramePredictor = field(default_factory=Oh)
  training: FrameTraining = field(default_factory=Curriculum)
  encoder: Encoder = field(default_factory=StridedEncoder)  # of the frame, for the reward and for behaviours
  reward: ScalarHead = field(default_factory=lambda: TwoHotHead(layers=1))
  discount: float = 1 - 1 / 333  # of behaviours that learn in the model
  reward_scale: float = 1.0  # factor of the reward loss in the total loss

  def __post_init__(self):
    checks.between(0, 1, self, "discount")
    checks.at_least(0, self, "reward_scale")
    if self.predictor.has_latents != self.training.infers:
      names = type(self.training).__name__, type(self.predictor).__name__
      has, fix = (
        ("has", "Variational()") if self.predictor.has_latents else ("has no", "Curriculum() or ScheduledSampling()")
      )
      raise ValueError(
        f"training={names[0]} does not fit predictor={names[1]}, which {has} latent variables: choose {fix}"
      )

  def build(self, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "VideoModelModule":
    """Raises ValueError where no image is seen, or anything else, or images are too small for the predictor."""
    visible = spec.visible
    if not image_keys(visible):
      raise ValueError(
        f"VideoModel predicts images, and the environment shows {', '.join(visible)}: add an image to --observations, or "
        "choose another preset"
      )
    if vector_shapes(visible):
      raise ValueError(
        f"VideoModel predicts images alone, and observation {vector_shapes(visible)[0][0]!r} is a vector: leave it out of "
        "--observations"
      )
    height, width, _ = stacked_image_shape(visible)
    least = _LEAST * self.predictor.factor
    if min(height, width) < least:
      raise ValueError(
        f"image size {height}x{width}: {type(self.predictor).__name__} divides the sides by {self.predictor.factor} and "
        f"needs {least} pixels a side: {advice(height, width)}--image-size 64 resizes images"
      )
    return VideoModelModule(self, spec, dtype=dtype, rngs=rngs)


class Watched(NamedTuple):
  """The result of observing a batch."""

  latents: Latent  # [B, T, ...]
  embed: jax.Array  # [B, T, E]
  predicted: jax.Array  # [B, T, H, W, C], expected at each step from the frames before; zeros at the first


class VideoModelModule(WorldModelBaseModule):
  """Built from `VideoModel`; frames are float32 in [0, 1], all images stacked along channels, framed in zeros."""

  def __init__(self, config: VideoModel, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.spec = config, spec
    self.images = image_keys(spec.visible)
    height, width, channels = stacked_image_shape(spec.visible)
    self.size, factor = (height, width), config.predictor.factor
    self.shape = (-(-height // factor) * factor, -(-width // factor) * factor, channels)
    self.predictor = config.predictor.build(self.shape, spec.action.size, dtype=dtype, rngs=rngs)
    self.encoder = config.encoder.build({"frame": ArraySpec(self.shape, "uint8")}, dtype=dtype, rngs=rngs)
    self.reward = config.reward.build(self.feature_size, dtype=dtype, rngs=rngs)

  @property
  def latent_spec(self) -> Mapping[str, ArraySpec]:
    return {}

  @property
  def feature_size(self) -> int:
    return self.encoder.output_size + self.predictor.summary_size

  @property
  def scales(self) -> Mapping[str, float]:
    return {"frame": 1.0, "reward": self.config.reward_scale}

  @property
  def decoded(self) -> tuple[str, ...]:
    return tuple(name for name in self.spec.visible if name in self.images)

  @property
  def moves_pixels(self) -> bool:
    return self.predictor.flow_size > 0

  def initial(self, batch: int) -> Latent:
    latent = {"state": self.predictor.initial(batch), "frame": jnp.zeros((batch, *self.shape))}
    flow = jnp.zeros((batch, self.predictor.flow_size, *self.shape[:2]))
    return {**latent, "flow": flow} if self.moves_pixels else latent

  def pack(self, latent: Latent) -> dict[str, jax.Array]:
    return {}

  def observe(self, batch: Batch, key: jax.Array) -> Watched:
    """Sequences begin without a memory, whether an episode begins there or not."""
    steps = batch.steps
    frames = self._frames(steps.observation)  # [B, T, H, W, C]
    start = {"state": self.predictor.initial(frames.shape[0]), "frame": frames[:, 0]}

    def step(latent: Latent, inputs: tuple[jax.Array, ...]) -> tuple[Latent, tuple[Latent, jax.Array]]:
      frame, action, is_first, key = inputs
      found = self.predictor.see(latent["state"], latent["frame"], action, frame, key)
      latent = {"state": reset_where(is_first, found.state), "frame": frame}
      return latent, (latent, found.frame)

    rest = tuple(jnp.asarray(x[:, 1:]).swapaxes(0, 1) for x in (frames, steps.action, steps.is_first))
    keys = jax.random.split(key, frames.shape[1] - 1)
    _, (later, predicted) = jax.lax.scan(forgetful(step), start, (*rest, keys))  # [T - 1, B, ...]
    latents = jax.tree.map(lambda x, y: jnp.concatenate([x[None], y]).swapaxes(0, 1), start, later)
    predicted = jnp.pad(predicted.swapaxes(0, 1), ((0, 0), (1, 0), (0, 0), (0, 0), (0, 0)))
    return Watched(latents, self._embed(frames), predicted)

  def observe_step(
    self, latent: Latent, action: jax.Array, observation: ArrayDict, is_first: jax.Array, key: jax.Array
  ) -> Latent:
    frame = self._frames(observation)
    after = self._after(latent, self.predictor.see(latent["state"], latent["frame"], action, frame, key))
    return {**after, "state": reset_where(is_first, after["state"]), "frame": frame}

  def step(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    return self._step(latent, action, key)

  def expect(self, latent: Latent, action: jax.Array) -> Latent:
    return self._step(latent, action, None)

  def imagine(self, latent: Latent, action: jax.Array, key: jax.Array) -> Latent:
    def step(latent: Latent, inputs: tuple[jax.Array, jax.Array]) -> tuple[Latent, Latent]:
      latent = self._step(latent, *inputs)
      return latent, latent

    keys = jax.random.split(key, action.shape[1])
    _, latents = jax.lax.scan(step, latent, (jnp.asarray(action).swapaxes(0, 1), keys))
    return jax.tree.map(lambda x: x.swapaxes(0, 1), latents)

  def encode(self, observation: ArrayDict, key: jax.Array) -> jax.Array:
    return self._embed(self._frames(observation))

  def glance(self, embed: jax.Array, key: jax.Array) -> jax.Array:
    nothing = self.predictor.summary(self.predictor.initial(1))[0]
    return jnp.concatenate([embed, jnp.broadcast_to(nothing, (*embed.shape[:-1], nothing.size))], -1)

  def move(self, latent: Latent, maps: jax.Array) -> jax.Array:
    return center_crop(advect(center_pad(maps, *self.shape[:2]), latent["flow"]), *self.size)

  def features(self, latent: Latent) -> jax.Array:
    return jnp.concatenate([self._embed(latent["frame"]), self.predictor.summary(latent["state"])], -1)

  def expected_reward(self, features: jax.Array) -> jax.Array:
    return self.reward(features).mean()

  def continue_probability(self, features: jax.Array) -> jax.Array:
    return jnp.full(features.shape[:-1], self.config.discount)

  def decode(self, latent: Latent) -> dict[str, jax.Array]:
    frame = latent["frame"]
    image = center_crop(frame.reshape(-1, *self.shape), *self.size)
    image = image.reshape(*frame.shape[:-3], *image.shape[1:])
    ends, parts = 0, {}
    for name in self.images:
      channels = self.spec.observation[name].shape[-1]
      parts[name] = image[..., ends : ends + channels]
      ends += channels
    return parts

  def losses(
    self, slow: Params, steps: Transition, seen: Watched, updates: jax.Array, key: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    latents = seen.latents
    frames = Frames(
      latents["frame"], jnp.asarray(steps.action), jnp.asarray(steps.is_first), latents["state"], seen.predicted
    )
    taught = self.config.training.teach(self.predictor, frames, updates, key)
    features = self.features(jax.lax.stop_gradient(taught.latents))
    reward = -self.reward(features).log_prob(steps.reward)
    return {"frame": taught.error, "reward": reward}, taught.metrics

  def _step(self, latent: Latent, action: jax.Array, key: jax.Array | None) -> Latent:
    return self._after(latent, self.predictor(latent["state"], latent["frame"], action, key))

  def _after(self, latent: Latent, found: Predicted) -> Latent:
    """The next latent, with the flow of the step where the latent has one; those that `observe` gives have none."""
    after = {"state": found.state, "frame": found.frame}
    return after if found.flow is None or "flow" not in latent else {**after, "flow": found.flow}

  def _frames(self, observation: ArrayDict) -> jax.Array:
    """{name: [..., H, W, C]} -> [..., *shape]."""
    image = jnp.concatenate([jnp.asarray(observation[name]) for name in self.images], -1).astype(jnp.float32) / 255
    frames = center_pad(image.reshape(-1, *image.shape[-3:]), *self.shape[:2])
    return frames.reshape(*image.shape[:-3], *self.shape)

  def _embed(self, frame: jax.Array) -> jax.Array:
    """Frames [..., *shape] -> [..., E]; the encoder takes images in [0, 255]."""
    return self.encoder({"frame": frame * 255})
