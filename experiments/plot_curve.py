"""Draws the evaluation returns of runs over env steps and over minutes.

    python experiments/plot_curve.py RUN_DIR... --out FILE.png --random 131

Runs whose environments differ, in rendering quality say, are refused, as their returns are not of the same thing.
"""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from dreamerax.api import load_config
from dreamerax.runtime.metrics import read_metrics


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR")
  parser.add_argument("--out", type=Path, required=True, metavar="FILE.png")
  parser.add_argument("--title", default="")
  parser.add_argument("--random", type=float, help="return of random actions, drawn as a dashed line")
  parser.add_argument("--anyway", action="store_true", help="also where the runs' environments differ")
  options = parser.parse_args(arguments)
  if not options.anyway and (difference := _difference(options.runs)):
    parser.error(f"{difference}; --anyway draws them all the same")

  figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
  for run in options.runs:
    lines = [line for line in read_metrics(run / "metrics.jsonl") if "eval/return" in line]
    returns = [line["eval/return"] for line in lines]
    low, high = ([line[f"eval/return_{end}"] for line in lines] for end in ("min", "max"))
    for axis, key, scale in ((axes[0], "env_steps", 1e3), (axes[1], "seconds", 60)):
      x = [line[key] / scale for line in lines]
      axis.plot(x, returns, marker="o", markersize=3, label=f"seed {load_config(run).seed}")
      axis.fill_between(x, low, high, alpha=0.15)
  axes[0].set_xlabel("thousand env steps")
  axes[0].set_ylabel("evaluation return (mean, min to max)")
  axes[1].set_xlabel("minutes since the start")
  for axis in axes:
    if options.random is not None:
      axis.axhline(options.random, color="grey", linestyle="--", linewidth=1, label="random actions")
    axis.grid(alpha=0.3)
    axis.set_ylim(bottom=0)
  axes[1].legend(loc="best")
  figure.suptitle(options.title)
  options.out.parent.mkdir(parents=True, exist_ok=True)
  figure.savefig(options.out, dpi=120)


def _difference(runs: Sequence[Path]) -> str | None:
  """Where the environments of two runs differ."""
  first, *others = ((run, load_config(run).env) for run in runs)
  for run, env in others:
    for name in (field.name for field in fields(env)):
      one, other = getattr(first[1], name), getattr(env, name)
      if one != other:
        return f"{name} is {one!r} in {first[0]} and {other!r} in {run}"
  return None


if __name__ == "__main__":
  main()
