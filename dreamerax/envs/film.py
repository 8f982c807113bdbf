"""Draws the frames of films: an environment as it shows itself to people."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from dreamerax.envs.base import Environment
from dreamerax.envs.faults import NoPicture
from dreamerax.envs.suites.foreign import short
from dreamerax.images import colored
from dreamerax.own_code import account

_LARGEST = 256  # pixels of the shorter side: a thousand frames take about 200 MB then


def frame(env: Environment) -> np.ndarray:
  """uint8 [H, W, 3]: `env.render()`, made smaller where both sides have more than 256 pixels.

  Raises:
    NoPicture: it cannot draw itself, or gives something else than a picture.
  """
  return drawn(env.render)


def drawn(render: Callable[[], Any]) -> np.ndarray:
  """What `render` draws, as `frame` has it."""
  try:
    picture = render()
  except NoPicture:
    raise
  except Exception as error:
    raise NoPicture(f"its render() raised {account(error)}: mend it") from error
  if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3 or not picture.size:
    gave = f"{picture.dtype} {list(picture.shape)}" if isinstance(picture, np.ndarray) else short(picture)
    raise NoPicture(f"its render() gave {gave}: let it return uint8 [height, width, 3]")
  return _shrunk(np.ascontiguousarray(colored(picture)))


def _shrunk(picture: np.ndarray) -> np.ndarray:
  height, width = picture.shape[:2]
  share = _LARGEST / min(height, width)
  if share >= 1:
    return picture
  size = round(width * share), round(height * share)
  return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
