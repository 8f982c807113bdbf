"""Whether a forward model beside the inverse one helps where data is little (Agrawal et al. 2016): `poke` with and without it.

dreamerax record --task table/reach --action-repeat 1 --image-size 48 --rendering fast --episodes 668 --out episodes/reach
python experiments/poke_data.py --data episodes/reach --out runs/poke_data

It trains on the first 1,000, 5,000 and 20,000 transitions of the recorded episodes, with the preset's weight of the forward
loss and with none, and prints the distance to the goal after 20 greedy decisions. Runs that are there go on. What it does
not know itself are options of train-world-model.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from dreamerax import cli
from dreamerax.recordings import EpisodeFolder
from experiments import goal_control

WEIGHT = "--agent.world-model.objectives.forward.scale"


def first_episodes(data: Path, transitions: int, out: Path) -> Path:
  """A copy of the first episodes that hold so many transitions, and of one more, which is held out.

  Raises:
    ValueError: there are fewer.
  """
  lengths = [len(episode.reward) - 1 for episode in EpisodeFolder(data).read_all()]
  needed = next((count for count in range(len(lengths)) if sum(lengths[:count]) >= transitions), None)
  if needed is None:
    raise ValueError(f"--data {data} has too few transitions, {sum(lengths)}: record more than {transitions}")
  out.mkdir(parents=True, exist_ok=True)
  for path in [data / "spec.json", *EpisodeFolder(data).files()[: needed + 1]]:
    shutil.copy(path, out)
  return out


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--data", type=Path, required=True)
  parser.add_argument("--out", type=Path, default=Path("runs/poke_data"))
  parser.add_argument("--transitions", type=int, nargs="+", default=[1000, 5000, 20_000])
  parser.add_argument("--weights", type=float, nargs="+", default=[0.1, 0.0], help="of the forward loss")
  parser.add_argument("--updates", type=int, default=600)
  parser.add_argument("--seeds", type=int, nargs="+", default=[0])
  options, further = parser.parse_known_args(arguments)
  for transitions in options.transitions:
    data = first_episodes(options.data, transitions, options.out / f"data-{transitions}")
    for seed in options.seeds:
      for weight in options.weights:
        logdir = options.out / f"{transitions}-{weight:g}-{seed}"
        line = ["--data", str(data), "--logdir", str(logdir), "--updates", str(options.updates), "--seed", str(seed)]
        line += ["--held-out", "0.001", "--eval-every", "0", WEIGHT, str(weight), *further]
        if cli.main(["train-world-model", "poke", *line]):
          raise SystemExit(f"training {logdir} failed")
        goal_control.main([str(logdir)])


if __name__ == "__main__":
  main()
