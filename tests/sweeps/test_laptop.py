"""The sweep of the `laptop` preset is one that would start, with one setting for all tasks but their action repeats."""

from dataclasses import replace

from dreamerax import cli, published
from dreamerax.sweeps.spec import read
from dreamerax.sweeps.trials import expand
from tests.conftest import ROOT

REPEATS = {
  "cartpole_swingup": 4,
  "reacher_easy": 4,
  "cheetah_run": 4,
  "finger_spin": 2,
  "ball_in_cup_catch": 4,
  "walker_walk": 2,
}


def test_six_tasks_three_seeds_and_action_repeats_within_the_published_ones():
  path = ROOT / "experiments" / "laptop.yaml"
  found = [trial.config for trial in expand(read(path), cli.read_run)]
  tasks = {config.env.task.removeprefix("dmc/"): config.env.action_repeat for config in found}
  assert tasks == REPEATS and len(found) == 18
  for task, repeat in tasks.items():
    least, most = (published.METHODS[method].repeat_of(task) for method in ("dreamerv3", "planet"))
    assert least and most and least <= repeat <= most
  env = found[0].env
  assert len({replace(config, seed=0, env=env) for config in found}) == 1
  assert env.image_size is None and env.rendering == "balanced"
  assert f"dreamerax sweep {path.relative_to(ROOT)}" in path.read_text()
