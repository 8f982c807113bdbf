"""What the columns of a row are called, in memory and in the log, and how they make a transition."""

from collections.abc import Mapping

import numpy as np

from dreamerax.types import Transition

OBSERVATION = "observation/"
LATENT = "latent/"


def to_transition(columns: Mapping[str, np.ndarray]) -> Transition:
  """columns: at least a transition's, [..., shape] each; those of latents are left out."""
  observation = {key.removeprefix(OBSERVATION): x for key, x in columns.items() if key.startswith(OBSERVATION)}
  rest = {name: columns[name] for name in Transition._fields if name != "observation"}
  return Transition(observation=observation, **rest)
