"""What a person sees: commands, their help, what is refused and with which words."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from dreamerax import __version__, api, cli, config_file, envs, presets, training
from dreamerax.commands import checks, doctor, short_help
from dreamerax.commands.check_env import fitting_presets
from dreamerax.config import to_dict
from dreamerax.envs.suites import rendering
from dreamerax.envs.suites.registry import SUITES
from dreamerax.run_config import RunConfig
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.result import TrainResult
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec


class Answer(NamedTuple):
  status: int
  text: str  # standard output and error, without line breaks
  lines: int = 1


ENDED = TrainResult(Counters(10_000, 1000, 5), 60.0, None, False)


@pytest.fixture
def dreamerax(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
  """Runs a command line in an empty folder."""
  monkeypatch.chdir(tmp_path)

  def run(*arguments: str) -> Answer:
    try:
      status = cli.main(arguments)
    except SystemExit as end:
      status = end.code if isinstance(end.code, int) else 1
    printed = capsys.readouterr()
    text = printed.out + printed.err
    return Answer(status, " ".join(re.sub("[│╭╮╰╯─]", " ", text).split()), len(text.splitlines()))

  return run


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
  def started(*arguments, **options):
    pytest.fail("training has started")

  monkeypatch.setattr(training, "train_run", started)
  monkeypatch.setattr(envs, "make_batch", started)


@pytest.fixture
def no_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
  def choose() -> str:
    raise rendering.NoRenderer("No OpenGL backend draws MuJoCo's frames here: install libegl1")

  monkeypatch.setattr(rendering, "choose", choose)


REFUSED = {
  "trian": "no command is called 'trian'; did you mean train?",
  "train quik": "preset='quik' is not one of quick, .*; did you mean quick?",
  "train dreamer-v3 --size 13m": "size='13m' is not one of 1m, 12m.* did you mean .*12m",
  "train --size=1m": "size='1m' is not one of .* of quick",
  "train --task dmc/cartpole_balanse": "task='dmc/cartpole_balanse' .* Did you mean dmc/cartpole_balance,",
  "train --task walker_walk": "Did you mean dmc/walker_walk",
  "train --task gym/CartPol-v1": "Did you mean gym/CartPole-v1",
  "train --task no.such:thing": "cannot import 'no.such'",
  "train --env-stesp 5": "--env-stesp: there is no such option; did you mean --env-steps,",
  "train --env-steps five": "--env-steps='five' must be a whole number, such as 100000, 1e5 or 100k",
  "train --env-steps 0": "--env-steps=0 must be at least 1",
  "train --env-steps 100": "--env-steps=100 ends the run before its first update",
  "train --num-envs -1": "--num-envs=-1 must be at least 1",
  "train --seeds 0": "seeds=0 must lie between 1 and 1000",
  "train --seeds 1e15": "seeds=1000000000000000 must lie between 1 and 1000",
  "train --seeds 2 --profile": "seeds=2: only a run that is alone can be profiled",
  "train --seeds 2 --collect ray": "seeds=2 collect in their own process",
  "train --collect ray --sync": "--sync: the order in which Ray's actors give steps is up to the clock",
  "train --ray-address auto": "--ray-address='auto' is where --collect ray collects: give that too",
  "train --collect rya": "rya",
  "train --seed -1": "seed=-1 must not be negative",
  "train --action-repeat 0": "--action-repeat=0",
  "train dreamer-v3 --image-size 20": "image size 20x20: 4 stages need between 33 and 256 pixels a side",
  "train --observations": "observations is empty",
  "train --observations speed": "speed",
  "train --rendering pretty": "--rendering='pretty' is not one of published, balanced",
  "train --task gym/Pendulum-v1 --rendering balanced": "--rendering='balanced' is for dmc/.*: leave --rendering out",
  "train --task a:b --observations image": r"--observations=\('image',\) is for dmc/",
  "train --task crafter/reward --workers.gpus 0": "--workers.gpus is for what MuJoCo draws",
  "record --task gym/Pendulum-v1 --rendering=published": "--rendering='published' is for dmc/",
  "train --eval-every -2": "--eval-every=-2 must be at least 0",
  "train --replay.batch-size 0": "--replay.batch-size=0 must be at least 1",
  "train --replay.batch-length 1": "--replay.batch-length=1 must be at least 2",
  "train --replay.capacity 10": "replay.capacity=10 .* raise it",
  "train --schedule.ratio -1": "ratio=-1",
  "train dreamer-v3 --agent.world-model.dynamics.deter 7": "deter=7 must be a multiple of blocks=8",
  "train dreamer-v3 --agent.world-model.encoder.depth 0": "depth=0 must be at least 1",
  "train dreamer-v3 --agent.behavior.critic.bins 10": "bins=10 must be an odd number",
  "train --mesh.data 1e15": "--mesh.data=1000000000000000, .* the CPU is divided into 1024 at most",
  "train .x:preset": "preset='.x:preset': '.x' is relative",
  "train --task ..x:make": "--task='..x:make': '..x' is relative",
  "train --distributed": "--distributed needs --logdir: a directory that all hosts share",
  "train --logdir here --processes 2": "--coordinator=None, --processes=2, --process=None: no cluster was found",
  "train --logdir here --coordinator a:1 --processes 2 --process 2": "processes are numbered from 0 to 1",
  "train --logdir here --coordinator a --processes 2 --process 0": "the coordinator is HOST:PORT",
  "train --agent.optimizer.learning-rate -1": "--agent.optimizer.learning-rate=-1.0 must be more than 0",
  "train --agent.optimizer.learning-rate nan": "--agent.optimizer.learning-rate='nan' must be a finite number",
  "train --env-steps 1e30": "--env-steps='1e30' does not fit in 64 bits",
  "train --env-steps": "--env-steps needs a value: a whole number",
  "train --learning-rate 3": "--learning-rate: there is no such option; did you mean .*--agent.optimizer.learning-rate",
  "train --logdir=": "--logdir='' is no path; . is the current directory",
  "sweep": "SPEC.yaml, or SPEC.py",
  "sweep missing.yaml": "missing.yaml: there is no such file",
  "eval": "Run directory",
  "eval missing": "missing is not a run directory: it has no config.json",
  "eval missing --episodes 0": "episodes=0 must be at least 1",
  "eval missing --video film.avi": "must end in .mp4 or .gif",
  "compare": "runs is empty: name at least one run directory",
  "compare missing": "missing holds no run: no config.json is in it or below it",
  "compare missing --against dreamer3": "method='dreamer3' is not one of .*; did you mean dreamerv3",
  "compare missing --tolerance -1": "tolerance=-1.0 must be at least 0",
  "plot": "runs is empty: name at least one run directory",
  f"plot missing --title {'x' * 501}": "title has 501 characters",
  "plot missing": "missing holds no run",
  "plot missing --out curve.jpg": "must end in .png or .html",
  "video missing": "missing is not a run directory",
  "video missing --out film.avi": "out=film.avi: the name must end in .mp4 or .gif",
  "video missing --horizon 0": "horizon=0 must be at least 1",
  "dream missing": "missing is not a run directory",
  "dream missing --port 70000": "port=70000 must lie in",
  "dream missing --context 0": "context=0 must be at least 1",
  "export": "Run directory",
  "export missing": "missing is not a run directory",
  "export missing --batch 0": "batch=0 must be at least 1",
  "export missing --platforms abacus": "abacus",
  "pack missing": "missing is not a run directory",
  "list everything": "'everything' belongs to no option",
  "doctor --frames 0": "frames=0 must be at least 1",
}


@pytest.mark.parametrize(("command", "option"), [("train", "--logdir"), ("train-world-model", "--data")])
def test_an_empty_path_does_not_stand_for_the_current_directory(command: str, option: str, dreamerax, tmp_path: Path):
  (tmp_path / "link").symlink_to("/")  # refused in a run directory
  answer = dreamerax(command, option, "")
  assert answer.status == 2 and f"{option}='' is no path; . is the current directory" in answer.text


def test_the_version_is_that_of_the_package(dreamerax):
  assert dreamerax("--version") == Answer(0, f"dreamerax {__version__}")


@pytest.mark.parametrize("line", [line for line in REFUSED if line != "train --env-steps 100"])
def test_mistakes_are_refused_before_anything_starts(line: str, dreamerax, nothing_starts, tmp_path: Path):
  answer = dreamerax(*line.split())
  assert answer.status == 2
  assert re.search(REFUSED[line], answer.text), answer.text
  assert answer.lines == 1
  assert not list(tmp_path.iterdir())


def test_a_run_too_short_to_learn_leaves_nothing_behind(dreamerax, tmp_path: Path):
  answer = dreamerax("train", "--env-steps", "100", "--logdir", "run")
  assert answer.status == 2 and re.search(REFUSED["train --env-steps 100"], answer.text)
  assert not list(tmp_path.iterdir())


def test_a_wrong_task_is_refused_where_nothing_can_be_drawn(dreamerax, no_renderer):
  answer = dreamerax("train", "--task", "dmc/walker_wlak")
  assert answer.status == 2 and "dmc/walker_walk" in answer.text


def test_without_a_renderer_training_says_what_to_install(dreamerax, no_renderer, tmp_path: Path):
  answer = dreamerax("train")
  assert answer.status == 1 and "install libegl1" in answer.text
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("written", "number"), [("1e5", 100_000), ("100k", 100_000), ("1_000", 1_000), ("1.5M", 1_500_000)]
)
def test_whole_numbers_are_read_as_people_write_them(written: str, number: int):
  assert cli.read_run(["--env-steps", written]).env_steps == number


def test_a_bug_shows_its_traceback_and_ends_in_one_line(dreamerax, monkeypatch: pytest.MonkeyPatch):
  def fail(*arguments, **options):
    raise KeyError("deter")

  monkeypatch.setattr(training, "train_run", fail)
  answer = dreamerax("train")
  assert answer.status == 1 and "Traceback" in answer.text
  assert re.search(r"dreamerax train: KeyError: 'deter' in .*\.py, line \d+\. This is a bug: report", answer.text)


@pytest.mark.parametrize(
  ("error", "line", "status"),
  [
    (IsADirectoryError(21, "Is a directory", "curves.png"), "curves.png: Is a directory", 2),
    (OSError(28, "No space left on device"), "No space left on device", 1),
    (OSError(36, "File name too long", "a" * 999), "File name too long", 2),
    (MemoryError("Unable to allocate 9 TiB"), r"not enough memory \(Unable to allocate 9 TiB\)", 1),
    (RecursionError(), "nested too deeply", 2),
    (OverflowError("int too big to convert"), "a number is too large", 2),
    (ValueError("one\ntwo"), "one two", 2),
  ],
)
def test_what_the_system_refuses_is_one_line(error, line: str, status: int, dreamerax, monkeypatch: pytest.MonkeyPatch):
  def fail(*arguments, **options):
    raise error

  monkeypatch.setattr(training, "train_run", fail)
  answer = dreamerax("train")
  assert answer.status == status and answer.lines == 1 and re.search(line, answer.text)


def test_divergence_is_one_line(dreamerax, monkeypatch: pytest.MonkeyPatch):
  def diverge(*arguments, **options):
    raise Diverged("loss/actor became nan")

  monkeypatch.setattr(training, "train_run", diverge)
  assert dreamerax("train") == Answer(1, "dreamerax train: loss/actor became nan")


def begun(folder: Path) -> RunConfig:
  """A run directory as `train` leaves it at its start."""
  config = presets.build("quick")
  folder.mkdir()
  (folder / config_file.CONFIG).write_text(json.dumps({"preset": "quick", "config": to_dict(config)}))
  (folder / "metrics.jsonl").write_text("{}\n")
  return config


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("--num-envs 33", r"--num-envs=33 differs from (\d+), .* give \1, or choose another --logdir"),
    ("--task dmc/walker_walk", "--task='dmc/walker_walk' differs from 'dmc/cartpole_balance'"),
    ("--agent.behavior.horizon 99", "agent.behavior.horizon=99 differs from"),
    ("--seed 99", "seed=99 differs from"),
  ],
)
def test_a_directory_with_another_run_is_left_alone(line: str, message: str, dreamerax, nothing_starts, tmp_path: Path):
  begun(tmp_path / "run")
  before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()}
  answer = dreamerax("train", "--logdir", "run", *line.split())
  assert answer.status == 2 and re.search(message, answer.text), answer.text
  assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()} == before


def test_another_preset_or_size_in_a_directory_is_refused(dreamerax, nothing_starts, tmp_path: Path):
  begun(tmp_path / "run")
  answer = dreamerax("train", "dreamer-v3", "--logdir", "run")
  assert answer.status == 2 and "preset='dreamer-v3': the run in run was started with 'quick'" in answer.text
  answer = dreamerax("train", "--size", "1m", "--logdir=run")
  assert answer.status == 2 and "size='1m': the run in run was started with" in answer.text


@pytest.mark.parametrize(
  ("text", "message"), [('{"preset"', "is not JSON"), ("[]", "was not written by dreamerax"), ("{}", "was not written")]
)
def test_a_broken_config_is_named(text: str, message: str, dreamerax, nothing_starts, tmp_path: Path):
  (tmp_path / config_file.CONFIG).write_text(text)
  for command in (("eval", "."), ("train", "--logdir", ".")):
    answer = dreamerax(*command)
    assert answer.status == 2 and config_file.CONFIG in answer.text and message in answer.text


def test_the_stored_run_goes_on_and_may_be_longer(dreamerax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
  config = begun(tmp_path / "run")
  seen = {}

  def train(parts, settings, *, begin):
    seen.update(vars(settings))
    begin()
    return ENDED

  monkeypatch.setattr(training, "train_run", train)
  assert dreamerax("train", "--logdir", "run", "--env-steps", "123456", "--eval-every", "7").status == 0
  assert seen["env_steps"] == 123456 and seen["loop"].eval_every == 7
  assert seen["num_envs"] == config.num_envs and seen["task"] == config.env.task
  stored = api.load_config(tmp_path / "run")
  assert (stored.env_steps, stored.loop.eval_every, stored.agent) == (123456, 7, config.agent)
  assert api.load_preset(tmp_path / "run") == "quick"


def test_a_stored_configuration_is_read_once(dreamerax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
  def train(*arguments, begin, **options):
    begin()
    return ENDED

  config = begun(tmp_path / "run")
  opened, read = [], config_file.read
  monkeypatch.setattr(training, "train_run", train)
  monkeypatch.setattr(config_file, "read", lambda path: opened.append(path) or read(path))
  for line in ("train quick --logdir run", "train --logdir elsewhere --logdir run"):  # what comes last counts
    assert dreamerax(*line.split()).status == 0 and opened == [Path("run")], line
    opened.clear()
  api.train(config, "run")
  assert opened == [tmp_path / "run"]
  assert api.load_config("run") == config


def test_several_seeds_have_a_run_directory_each(dreamerax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
  started = {}

  def train(parts, settings, *, begin, context=None):
    started[settings.seed] = settings.logdir
    begin()
    return ENDED

  monkeypatch.setattr(training, "train_run", train)
  root = tmp_path / "all"
  assert dreamerax("train", "--seed", "3", "--seeds", "2", "--env-steps", "9999", "--logdir", "all").status == 0
  assert started == {3: root / "seed-3", 4: root / "seed-4"}
  configs = [api.load_config(folder) for folder in started.values()]
  assert configs[1] == replace(configs[0], seed=4) == replace(presets.build("quick"), seed=4, env_steps=9999)
  started.clear()
  assert dreamerax("train", "--logdir", "all").status == 0  # goes on with both
  assert started.keys() == {3, 4}
  started.clear()
  assert dreamerax("train", "--logdir", "all/seed-4").status == 0 and started == {4: root / "seed-4"}
  assert dreamerax("train", "--logdir", "all", "--seeds", "3").status == 0 and started.keys() == {3, 4, 5}
  for line, message in {
    "all --seeds 2": "--seeds=2 from --seed=3 on leaves out seed 5",
    "all --seeds 1": "--seeds=1 from --seed=3 on leaves out seed 4, 5",
    "all --num-envs 33": "--num-envs=33 differs from",
    "all/seed-3 --seeds 2": "holds a single run, not those of 2 seeds",
  }.items():
    answer = dreamerax("train", "--logdir", *line.split())
    assert answer.status == 2 and message in answer.text, answer.text
  with pytest.raises(ValueError, match="holds the runs of 3 seeds"):
    api.train(configs[0], root)


def test_help_explains_each_command(dreamerax):
  answer = dreamerax()
  assert answer.status == 0 and all(
    word in answer.text
    for word in ("train [PRESET]", "train-world-model", "record", "sweep SPEC", "eval RUN_DIR", "list", "doctor")
  )
  for name in (
    "sweep",
    "eval",
    "compare",
    "plot",
    "video",
    "dream",
    "export",
    "pack",
    "train-world-model",
    "record",
    "list",
    "check-env",
    "doctor",
  ):
    assert dreamerax(name, "--help").status == 0
  answer = dreamerax("train", "--help-all")
  assert answer.status == 0
  for word in (
    "dreamer-v3",
    "--task",
    "{published,balanced,coarse,fast}",
    "--agent.optimizer.learning-rate",
    "--eval-episodes",
  ):
    assert word in answer.text
  assert "(default: dmc/cartpole_balance)" in answer.text
  assert "(default: dmc/walker_walk)" in dreamerax("train", "dreamer-v3", "--help-all").text


@pytest.mark.parametrize(
  ("preset", "flag"),
  [
    ("quick", "--agent.world-model.continues.layers"),
    ("planet", "--agent.behavior.planner.candidates"),
    ("dreamer-v1", "--agent.behavior.actor.init-std"),
    ("dreamer-v2", "--agent.world-model.dynamics.stochastic.unimix"),
  ],
)
def test_every_figure_of_every_part_is_a_flag(dreamerax, preset: str, flag: str):
  assert flag in dreamerax("train", preset, "--help-all").text


@pytest.mark.parametrize(
  ("command", "groups"), [("train", short_help.TRAIN), ("train-world-model", short_help.TRAIN_WORLD_MODEL)]
)
def test_the_first_help_page_is_short_and_every_option_on_it_exists(command: str, groups, capsys):
  assert cli.main([command, "--help"]) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) <= 50 and max(map(len, lines)) <= 80 and lines[-1].endswith("--help-all")
  cli.main([command, "--help-all"])
  whole = capsys.readouterr().out
  for shown in (each for group in groups.values() for each in group):
    assert f"{shown.option} " in whole and any(shown.option in line for line in lines)


def test_the_first_help_page_has_the_values_of_the_preset_and_of_what_was_given(dreamerax):
  assert "(dmc/cartpole_balance)" in dreamerax("train", "--help").text
  assert "(dmc/walker_walk)" in dreamerax("train", "dreamer-v3", "-h").text


@pytest.mark.parametrize("arguments", ["", "list", "train --help"])
def test_a_reader_that_has_gone_is_no_crash(arguments: str):
  line = f"{sys.executable} -m dreamerax {arguments} | true"
  assert subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stderr == ""


def test_the_module_is_the_program():
  done = subprocess.run([sys.executable, "-m", "dreamerax", "--help"], capture_output=True, text=True, check=True)
  assert done.stdout.startswith("usage: dreamerax COMMAND")


def test_list_shows_presets_sizes_and_tasks(dreamerax):
  answer = dreamerax("list")
  assert answer.status == 0
  assert re.search(r"dreamer-v3 .* 1m 686,846 12m 10,494,158 \(default\)", answer.text)
  tasks = [name for suite in SUITES for name in suite.names()]
  assert {"dmc/walker_walk", "e2c/planar", "table/push", "tasks/walker"} <= set(tasks)
  assert all(name in answer.text for name in (*presets.PRESETS, *presets.SIZES, *tasks))


def test_list_works_where_nothing_can_be_drawn(dreamerax, no_renderer):
  answer = dreamerax("list")
  assert answer.status == 0
  assert "dmc/humanoid_CMU_run" in answer.text and "install libegl1" in answer.text


def test_check_env_describes_an_environment(dreamerax):
  answer = dreamerax("check-env", "tests.envs.toys:counter", "--steps", "30")
  assert answer.status == 0 and "Nothing is wrong" in answer.text
  for words in (r"takes \w", r"episodes \d+ ended, \d+ to \d+ agent steps long", r"rewards from .* to .* a step"):
    assert re.search(words, answer.text), answer.text


def test_check_env_says_all_that_is_wrong_and_how_to_mend_it(dreamerax):
  answer = dreamerax("check-env", "tests.envs.toys:liar")
  assert answer.status == 2 and "its spec says float32 [3]" in answer.text
  assert "convert 'clock' with astype and reshape, or change its ArraySpec" in answer.text
  answer = dreamerax("check-env", "tests.envs.toys:nothing")
  assert answer.status == 2 and "has no function 'nothing'" in answer.text


@pytest.mark.parametrize(
  ("shape", "way_out"),
  [((7, 7, 3), "float32 vector"), ((15, 15, 3), "--image-size 64"), ((3, 64, 64), "--channels-first")],
)
def test_check_env_says_which_presets_take_its_images(shape: tuple[int, int, int], way_out: str):
  found = fitting_presets(EnvSpec({"image": ArraySpec(shape, "uint8")}, ActionSpec(2)))
  assert found.fatal and way_out in found.problem and "--image-size 64" in found.problem
  found = fitting_presets(EnvSpec({"image": ArraySpec((64, 64, 3), "uint8")}, ActionSpec(3, discrete=True)))
  assert not found.problem and "quick" in found.value and "planet" not in found.value


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, rendering.BackendProbe]:
  """What each backend answers; both work unless told otherwise."""
  answers = {name: rendering.BackendProbe(name, None, 12.4) for name in rendering.BACKENDS}
  monkeypatch.setattr(rendering, "probe", lambda backend, frames: answers[backend])
  return answers


def test_doctor_finds_nothing_wrong(dreamerax, probes):
  answer = dreamerax("doctor")
  assert answer.status == 0
  for word in ("rendering (egl) 12 frames/s", "1 × cpu", "jax", "mujoco 3.17.0", "GiB", "Nothing is wrong."):
    assert word in answer.text


def test_doctor_needs_only_one_renderer(dreamerax, probes):
  probes["osmesa"] = rendering.BackendProbe("osmesa", "'NoneType' object has no attribute 'glGetError'")
  answer = dreamerax("doctor")
  assert answer.status == 0 and "not needed" in answer.text and "Nothing is wrong." in answer.text


def test_doctor_says_how_to_mend_rendering(dreamerax, probes):
  probes.update({name: rendering.BackendProbe(name, "[no] display") for name in rendering.BACKENDS})
  answer = dreamerax("doctor")
  assert answer.status == 1
  assert "[no] display" in answer.text and "apt-get install libegl1 libgl1 libosmesa6" in answer.text


def test_doctor_tells_wrong_versions_from_a_missing_renderer(dreamerax, probes):
  error = "AttributeError: 'MjModel' object has no attribute 'flex_vertedge'"
  probes.update({name: rendering.BackendProbe(name, error) for name in rendering.BACKENDS})
  answer = dreamerax("doctor")
  assert answer.status == 1 and "make setup" in answer.text and "apt-get" not in answer.text


def test_doctor_names_a_missing_package(probes):
  found = {check.name: check for check in doctor.diagnose(0, ("jax", "no-such-package"))}
  assert found["no-such-package"].fatal and "pip install no-such-package" in found["no-such-package"].problem
  assert not found["jax"].problem


def test_findings_are_printed_on_a_terminal_of_no_columns(capsys, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setenv("COLUMNS", "0")
  assert checks.show([checks.Check("task", "dmc/walker_walk")]) == 0
  assert capsys.readouterr().out.split() == ["✓", "task", "dmc/walker_walk", "Nothing", "is", "wrong."]
