"""Pictures for people, from images of any number of channels."""

from dreamerax.types import Array


def colored(frames: Array) -> Array:
  """[..., C] with any number of channels to [..., 3]: the first three, or grey from one or two."""
  return frames[..., :3] if frames.shape[-1] >= 3 else frames[..., :1].repeat(3, -1)
