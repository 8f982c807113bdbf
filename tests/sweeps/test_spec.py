"""What a sweep may say, and which trials follow from it."""

import dataclasses
import re
from pathlib import Path

import pytest

from dreamerax import cli, presets
from dreamerax.sweeps.spec import Grid, Resources, Sweep, read, to_flags
from dreamerax.sweeps.trials import expand

YAML = """
options: {size: 1m, env_steps: 20000}
resources: {cpus: 2, gpus: 0.5, custom: {fast-disk: 1}}
grids:
  - presets: [dreamer-v3]
    tasks: [dmc/walker_walk, gym/Pendulum-v1]
    seeds: [0, 1]
    options: {sync: true}
    vary: {schedule.ratio: [64, 128]}
  - presets: [quick]
    options: {size: tiny, observations: [image, position], agent.optimizer.learning-rate: 1e-4}
    resources: {cpus: 1}
"""


def written(folder: Path, text: str, name: str = "spec.yaml") -> Path:
  path = folder / name
  path.write_text(text)
  return path


def test_a_grid_is_every_combination(tmp_path: Path):
  trials = expand(read(written(tmp_path, YAML)), cli.read_run)
  assert [trial.name for trial in trials] == [
    *(
      f"dreamer-v3-{task}-schedule.ratio={ratio}-seed{seed}"
      for task in ("dmc-walker_walk", "gym-Pendulum-v1")
      for ratio in (64, 128)
      for seed in (0, 1)
    ),
    "quick-dmc-cartpole_balance-seed0",
  ]
  config = trials[3].config
  assert (config.size, config.env_steps, config.seed, config.loop.sync) == ("1m", 20000, 1, True)
  assert config.schedule.ratio == 128 and config.env.task == "dmc/walker_walk"
  assert trials[0].resources == Resources(cpus=2, gpus=0.5, custom={"fast-disk": 1})
  for trial in trials:
    assert cli.read_run(trial.arguments) == trial.config
  last = trials[-1]
  assert last.config.env.observations == ("image", "position") and last.resources == Resources(cpus=1)
  assert last.config.agent.optimizer.learning_rate == 1e-4
  plain = presets.build("quick")
  assert dataclasses.replace(last.config, env=plain.env, agent=plain.agent, env_steps=plain.env_steps) == plain


def test_python_says_the_same(tmp_path: Path):
  text = """
from dreamerax.sweeps.spec import Grid, Sweep
tasks = ("dmc/cheetah_run", "dmc/walker_walk")
sweep = Sweep(grids=[Grid(presets=["planet"], tasks=[task], seeds=range(3)) for task in tasks])
"""
  trials = expand(read(written(tmp_path, text, "spec.py")), cli.read_run)
  assert len(trials) == 6 and trials[-1].name == "planet-dmc-walker_walk-seed2"


def test_names_of_grids_tell_their_trials_apart():
  grids = [
    Grid(presets=("quick",), name=name, options={"num-envs": count}) for name, count in (("few", 2), ("many", 8))
  ]
  names = [trial.name for trial in expand(Sweep(grids=tuple(grids)), cli.read_run)]
  assert names == ["quick-dmc-cartpole_balance-few-seed0", "quick-dmc-cartpole_balance-many-seed0"]


def test_options_as_flags():
  flags = to_flags({"sync": False, "agent.model-first": False, "a.b": (1, 2), "size": "1m", "x": None, "rate": 1e-05})
  expected = "--no-sync --agent.no-model-first --a.b 1 2 --size 1m --x None --rate 1e-05"
  assert flags == expected.split()


REFUSED = {
  "grids: [{presets: [quik]}]": "dreamerax train quik --seed 0: preset='quik' is not one of.* did you mean quick",
  "grids: [{presets: [quick], tasks: [dmc/walker_wlak]}]": "dmc/walker_wlak' is not in.* Did you mean dmc/walker_walk",
  "grids: [{presets: [quick], tasks: [gym/CartPol-v1]}]": "Did you mean gym/CartPole-v1",
  "grids: [{presets: [quick], tasks: ['no.such:thing']}]": "cannot import 'no.such'",
  "grids: [{presets: [quick], options: {num-env: 3}}]": "--num-env: there is no such option; did you mean --num-envs,",
  "grids: [{presets: [quick], options: {num-envs: many}}]": "--num-envs='many' must be a whole number",
  "grids: [{presets: [quick], options: {num-envs: 0}}]": "--num-envs=0 must be at least 1",
  "grids: [{presets: [dreamer-v3], vary: {size: [1m, 13m]}}]": "size='13m' is not one of",
  "grids: [{presets: [quick], options: {seed: 3}}]": r"grids\[0\]: seed is no option of a trial: it is set by seeds",
  "grids: [{presets: [quick], options: {logdir: x}}]": "logdir is no option of a trial",
  "grids: [{presets: [quick], options: {--sync: true}}]": "option '--sync'",
  "grids: [{presets: quick}]": r"grids\[0\].presets='quick': must be a list",
  "grids: [{presets: []}]": "presets is empty",
  "grids: [{presets: [quick], seeds: [one]}]": r"grids\[0\].seeds\[0\]='one': must be of type int",
  "grids: [{presets: [quick], seeds: [0, -1]}]": "seed=-1 must not be negative",
  "grids: [{presets: [quick], vary: {num-envs: 3}}]": "vary.num-envs=3: must be a list",
  "grids: [{preset: [quick]}]": r"grids\[0\].preset: .* did you mean presets",
  "grids: [{tasks: [dmc/walker_walk]}]": r"grids\[0\].presets: is missing",
  "grids: [{presets: [quick]}, {presets: [quick]}]": "two trials are called quick-dmc-cartpole_balance-seed0",
  "grids: []": "grids is empty",
  "{grids: [{presets: [quick]}], retries: -1}": "retries=-1",
  "{grids: [{presets: [quick]}], resources: {cpus: -1}}": "resources.cpus=-1",
  "{grids: [{presets: [quick]}], resources: {hosts: 0}}": "resources.hosts=0: must be a whole number",
  "{grids: [{presets: [quick]}], resources: {hosts: 2, cpus: 0}}": "resources.hosts=2: each reserves nothing",
  "{grids: [{presets: [quick]}], resources: {gpus: 1.5}}": "resources.gpus=1.5: a share",
  "{grids: [{presets: [quick]}], resources: {custom: {disk: much}}}": "resources.disk='much'",
  "grids: [": "spec.yaml is not YAML",
  "!!python/object/apply:os.system ['touch executed']": "spec.yaml is not YAML",
  "just words": "expected the fields of Sweep",
}


@pytest.mark.parametrize("text", REFUSED)
def test_mistakes_are_named_before_anything_starts(text: str, tmp_path: Path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  written(tmp_path, text)
  assert cli.main(["sweep", "spec.yaml", "--logdir", "sweep"]) == 2
  message = " ".join(capsys.readouterr().err.split())
  assert re.search(REFUSED[text], message), message
  assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize(
  ("name", "text", "message"),
  [
    ("spec.py", "sweep = 3", "must set `sweep` to a dreamerax.sweeps.spec.Sweep, and it is 3"),
    ("spec.json", "{}", "must end in .yaml or .py"),
  ],
)
def test_other_files_are_refused(name: str, text: str, message: str, tmp_path: Path):
  with pytest.raises(ValueError, match=message):
    read(written(tmp_path, text, name))


def test_a_missing_file_is_named(tmp_path: Path):
  with pytest.raises(FileNotFoundError, match=r"missing.yaml: there is no such file"):
    read(tmp_path / "missing.yaml")
