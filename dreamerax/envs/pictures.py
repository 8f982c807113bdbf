"""Converts images of any size, channel count and channel order to what networks
take."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.violations import Violation
from dreamerax.envs.wrappers import Wrapper
from dreamerax.types import ArraySpec, EnvSpec

_CHANNELS, _LEAST, _PLANE = (1, 3, 4), 8, 16  # what images look like: channels, and sides in pixels; a grey one's
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Conversion:
  """What is done to every image: channels put last, made grey, resized, in this order."""

  size: int | None  # side in pixels; None leaves images as large as they are
  grey: bool
  channels_first: bool

  def spec_of(self, array: ArraySpec) -> ArraySpec:
    """An array as it is afterwards."""
    if not array.is_image:
      return array
    height, width, channels = array.shape
    if self.channels_first:
      height, width, channels = width, channels, height
    if self.size is not None:
      height = width = self.size
    return ArraySpec((height, width, 1 if self.grey else channels), "uint8")

  def __call__(self, image: np.ndarray) -> np.ndarray:
    if self.channels_first:
      image = image.transpose(1, 2, 0)
    if self.grey:
      image = to_grey(image)
    if self.size is not None:
      image = resize(image, self.size)
    return np.ascontiguousarray(image)


def conversion_of(spec: EnvSpec, config: EnvConfig, size: int | None) -> Conversion | None:
  """What `config` asks of the images of `spec`, resized to `size`; None where they are so already.

  Raises:
    ValueError: a setting of images was given, and there are none.
  """
  images = {name: array for name, array in spec.observation.items() if array.is_image}
  asked = config.grey or config.channels_first
  if not images and (asked or size is not None):
    name = "grey" if config.grey else "channels_first" if config.channels_first else "image_size"
    raise ValueError(f"{name}={getattr(config, name)}: task={config.task!r} shows no images; leave it out.")
  changed = asked or (size is not None and any(array.shape[:2] != (size, size) for array in images.values()))
  return Conversion(size, grey=config.grey, channels_first=config.channels_first) if changed else None


def shown_as(env: Environment, config: EnvConfig, size: int | None) -> Environment:
  """`env` with its images as `config` asks for them, and resized to `size`; `env` itself where they are so already.

  Raises:
    what `conversion_of` raises.
  """
  conversion = conversion_of(env.spec, config, size)
  return env if conversion is None else Pictures(env, conversion)


def suspicions(env: Environment, config: EnvConfig) -> Iterator[Violation]:
  """Arrays that look like images and are taken as something else. Training works, but not as it was probably meant."""
  for key, array in {**env.spec.observation, **env.declared}.items():
    shape = array.shape
    found = f"observation {key!r} is {array.dtype} {list(shape)}"
    first, last = _channels(shape)
    order = " --channels-first" if first and not last and not config.channels_first else ""
    if array.dtype != "uint8" and not config.float_images and (first or last or _is_plane(shape)):
      taken = f"{found}, which is taken as a vector of {np.prod(shape):,} numbers"
      yield Violation(taken, f"if it is an image, give --float-images{order}", fatal=False)
    elif len(shape) == 4 and any(_channels(shape[1:])):
      taken = f"{found}, which is taken as a vector of {np.prod(shape):,} numbers"
      yield Violation(taken, "if it is several images, put one's channels beside the other's", fatal=False)
    elif order:
      taken = f"{found}, which is taken as an image {shape[0]} pixels high with {shape[2]} channels"
      yield Violation(taken, f"if it is [channels, height, width], give{order}", fatal=False)
    elif last and not first and config.channels_first:
      yield Violation(f"{found}, whose channels look last", "leave --channels-first out if they are", fatal=False)


def _channels(shape: tuple[int, ...]) -> tuple[bool, bool]:
  """Whether the array may be an image whose channels come first, or last."""
  if len(shape) != 3:
    return False, False
  one, _, other = shape
  return one in _CHANNELS and min(shape[1:]) >= _LEAST, other in _CHANNELS and min(shape[:2]) >= _LEAST


def _is_plane(shape: tuple[int, ...]) -> bool:
  return len(shape) == 2 and min(shape) >= _PLANE


class Pictures(Wrapper):
  """Converts every image."""

  def __init__(self, env: Environment, conversion: Conversion):
    super().__init__(env)
    self._convert = conversion
    observation = {name: conversion.spec_of(array) for name, array in env.spec.observation.items()}
    self._images = [name for name, array in observation.items() if array.is_image]
    self._spec = EnvSpec(observation, env.spec.action)

  @property
  def spec(self) -> EnvSpec:
    return self._spec

  @property
  def declared(self) -> Mapping[str, ArraySpec]:
    return {**self._env.spec.observation, **self._env.declared}

  def reset(self, seed: int | None = None) -> Step:
    return self._show(self._env.reset(seed))

  def step(self, action: np.ndarray) -> Step:
    return self._show(self._env.step(action))

  def replay(self, seed: int, actions: np.ndarray) -> Step:
    return self._show(self._env.replay(seed, actions))

  def _show(self, step: Step) -> Step:
    shown: Mapping[str, np.ndarray] = {name: self._convert(step.observation[name]) for name in self._images}
    return step._replace(observation={**step.observation, **shown})


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
