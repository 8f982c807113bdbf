"""Writes on films: strips of text above frames and beside them, for people."""

from functools import lru_cache

import numpy as np

SEEN, DREAMT, PLAIN = (0, 128, 0), (192, 0, 0), (32, 32, 32)  # behind the text
_EDGE, _LARGEST = 3, 14  # pixels between text and border; of the letters


def enlarge(frames: np.ndarray, least: int = 256) -> np.ndarray:
  """uint8 [T, H, W, 3] with every pixel as a square, so many times that the shorter side has `least` pixels or more."""
  times = max(1, -(-least // min(frames.shape[1:3])))
  return frames.repeat(times, 1).repeat(times, 2)


@lru_cache(maxsize=4096)
def strip(text: str, width: int, height: int = 20, color: tuple[int, int, int] = PLAIN) -> np.ndarray:
  """uint8 [height, width, 3]: white text on a color, as large as it fits up to 14 pixels."""
  from PIL import Image, ImageDraw, ImageFont  # environments' processes do without

  image = Image.new("RGB", (width, height), color)
  draw = ImageDraw.Draw(image)
  size = min(_LARGEST, height - 2 * _EDGE if height > 4 * _EDGE else max(1, height - 1))
  while size > 6 and draw.textlength(text, ImageFont.load_default(size)) > width - 2 * _EDGE:
    size -= 1
  draw.text((_EDGE, height / 2), text, (255, 255, 255), ImageFont.load_default(size), anchor="lm")
  made = np.asarray(image)
  made.setflags(write=False)
  return made


def scored(frames: np.ndarray, rewards: np.ndarray, least: int = 256) -> np.ndarray:
  """Frames [T, H, W, 3] of an episode, enlarged to `least` pixels a side, under the step and the return so far.

  Args:
    rewards: [T], that came with each frame.
  """
  large = enlarge(frames, least)
  texts = (f"step {step}  return {score:.1f}" for step, score in enumerate(np.cumsum(rewards)))
  strips = np.stack([strip(text, large.shape[2]) for text in texts])
  return np.concatenate([strips, large], 1)
