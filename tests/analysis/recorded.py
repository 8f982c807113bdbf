"""Run directories as training leaves them, without the training."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dreamerax import config_file, presets
from dreamerax.config import to_dict


def make_run(
  folder: Path,
  *,
  preset: str = "dreamer-v3",
  seed: int = 0,
  task: str = "dmc/walker_walk",
  level: float = 500.0,
  env_steps: int = 110_000,
  env: Mapping[str, Any] | None = None,
  **changes: Any,
) -> Path:
  """A run whose training episodes score `level` and whose evaluations 10 more, at every 5000 env steps.

  env, changes: fields of the configuration that differ from the preset's.
  """
  config = presets.build(preset)
  config = replace(config, seed=seed, env=replace(config.env, task=task, **(env or {})), **changes)
  folder.mkdir(parents=True)
  (folder / config_file.CONFIG).write_text(json.dumps({"preset": preset, "config": to_dict(config)}))
  rows = []
  for step in range(5000, env_steps + 1, 5000):
    common = {"env_steps": step, "agent_steps": step // 2, "updates": step // 4, "seconds": step / 100}
    rows.append({**common, "episode/return": level, "episode/length": 500.0})
    spread = {"eval/return": level + 10, "eval/return_min": level, "eval/return_max": level + 20}
    rows.append({**common, **spread, "eval/return_std": 5.0, "eval/length": 500.0})
  (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  return folder
