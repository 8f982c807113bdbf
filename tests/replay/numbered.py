"""Steps that carry their own stream and position, so that a test can read off where a sampled row came from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamerax.replay import Replay, ReplayConfig
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition

SPEC = EnvSpec({"pixels": ArraySpec((2, 2, 3), "uint8"), "where": ArraySpec((2,), "int32")}, ActionSpec(2))
LATENTS = {"deter": ArraySpec((3,)), "stoch": ArraySpec((2,), "int32")}
EPISODE = 5  # every stream begins an episode at each multiple of this


def make(streams: int = 1, seed: int = 0, **fields: Any) -> Replay:
  defaults = {"capacity": 12 * streams, "batch_size": 4, "batch_length": 3, "context": 1, "online": False}
  return Replay(SPEC, LATENTS, config=ReplayConfig(**(defaults | fields)), streams=streams, seed=seed)


def step(streams: Sequence[int], positions: Sequence[int]) -> tuple[Transition, dict[str, np.ndarray]]:
  """One row for each stream, every column a function of (stream, position). Arrays [E, ...]."""
  where = np.stack([streams, positions], -1).astype(np.int32)
  code = (where[:, 0] * 1000 + where[:, 1]).astype(np.float32)
  place = where[:, 1] % EPISODE
  transition = Transition(
    observation={"pixels": np.tile((code % 251).astype(np.uint8)[:, None, None, None], (1, 2, 2, 3)), "where": where},
    action=np.stack([code, -code], -1),
    reward=code,
    is_first=place == 0,
    is_last=place == EPISODE - 1,
    is_terminal=np.zeros(len(where), bool),
  )
  return transition, {"deter": np.tile(code[:, None], (1, 3)), "stoch": where}


def fill(replay: Replay, rows: Sequence[int], start: Sequence[int] | None = None) -> None:
  """Adds rows[s] rows to stream s, in lockstep as long as streams have rows left."""
  begin = [0] * len(rows) if start is None else start
  for offset in range(max(rows)):
    ids = [stream for stream, count in enumerate(rows) if offset < count]
    replay.add(*step(ids, [begin[stream] + offset for stream in ids]), streams=ids)
