"""Images of any size, channel count and channel order, as networks take them."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.wrappers import Wrapper
from dreamerax.types import ArraySpec, EnvSpec

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def shown_as(env: Environment, config: EnvConfig, size: int | None) -> Environment:
  """`env` with its images as `config` asks for them, and resized to `size`; `env` itself where they are so already.

  Raises:
    ValueError: a setting of images was given, and there are none.
  """
  images = {name: array for name, array in env.spec.observation.items() if array.is_image}
  asked = config.grey or config.channels_first
  if not images and (asked or size is not None):
    name = "grey" if config.grey else "channels_first" if config.channels_first else "image_size"
    raise ValueError(f"{name}={getattr(config, name)}: task={config.task!r} shows no images; leave it out.")
  changed = asked or (size is not None and any(array.shape[:2] != (size, size) for array in images.values()))
  return Pictures(env, size, grey=config.grey, channels_first=config.channels_first) if changed else env


class Pictures(Wrapper):
  """Converts every image: channels put last, made grey, resized, in this order."""

  def __init__(self, env: Environment, size: int | None, *, grey: bool, channels_first: bool):
    """size: side in pixels; None leaves images as large as they are."""
    super().__init__(env)
    self._size, self._grey, self._channels_first = size, grey, channels_first
    observation = {name: self._spec_of(array) for name, array in env.spec.observation.items()}
    self._images = [name for name, array in observation.items() if array.is_image]
    self._spec = EnvSpec(observation, env.spec.action)

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  def reset(self, seed: int | None = None) -> Step:
    return self._show(self._env.reset(seed))

  def step(self, action: np.ndarray) -> Step:
    return self._show(self._env.step(action))

  def replay(self, seed: int, actions: np.ndarray) -> Step:
    return self._show(self._env.replay(seed, actions))

  def _spec_of(self, array: ArraySpec) -> ArraySpec:
    if not array.is_image:
      return array
    height, width, channels = array.shape
    if self._channels_first:
      height, width, channels = width, channels, height
    if self._size is not None:
      height = width = self._size
    return ArraySpec((height, width, 1 if self._grey else channels), "uint8")

  def _show(self, step: Step) -> Step:
    shown: Mapping[str, np.ndarray] = {name: self._convert(step.observation[name]) for name in self._images}
    return step._replace(observation={**step.observation, **shown})

  def _convert(self, image: np.ndarray) -> np.ndarray:
    if self._channels_first:
      image = image.transpose(1, 2, 0)
    if self._grey:
      image = to_grey(image)
    if self._size is not None:
      image = resize(image, self._size)
    return np.ascontiguousarray(image)


def to_grey(image: np.ndarray) -> np.ndarray:
  """uint8 [H, W, C] to [H, W, 1]: the luminance of three colours, the mean of any other number of channels."""
  channels = image.shape[-1]
  weights = np.asarray(_LUMINANCE if channels == 3 else [1 / channels] * channels, np.float32)
  return np.rint(image @ weights)[..., None].astype(np.uint8)


def resize(image: np.ndarray, size: int) -> np.ndarray:
  """uint8 [H, W, C] to [size, size, C]: pixels are averaged over their area where both sides shrink, else interpolated."""
  height, width, channels = image.shape
  if (height, width) == (size, size):
    return image
  how = Image.Resampling.BOX if min(height, width) >= size else Image.Resampling.BILINEAR
  if channels == 3:
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((size, size), how))
  planes = (Image.fromarray(np.ascontiguousarray(image[..., i])).resize((size, size), how) for i in range(channels))
  return np.stack([np.asarray(plane) for plane in planes], -1)
