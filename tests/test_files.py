import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dreamerax.files import open_regular, read_regular, refuse_links, write_whole


def test_equal_content_is_not_written(tmp_path: Path):
  path = tmp_path / "config.json"
  assert write_whole(path, "λ\n")
  before = path.stat()
  assert not write_whole(path, "λ\n".encode())
  assert path.stat() == before
  assert write_whole(path, "other")
  assert path.read_text() == "other"
  assert [each.name for each in tmp_path.iterdir()] == ["config.json"]


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path):
  mask = os.umask(0o027)
  try:
    write_whole(tmp_path / "file", "x")
  finally:
    os.umask(mask)
  assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_file_that_is_there_can_be_left_alone(tmp_path: Path):
  assert write_whole(tmp_path / "file", "first", replace=False)
  assert not write_whole(tmp_path / "file", "second", replace=False)
  assert (tmp_path / "file").read_text() == "first"
  assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("death", ["SIG_DFL", "SIG_IGN"])
def test_a_writer_killed_or_out_of_space_in_mid_file_leaves_the_old_content(tmp_path: Path, death: str):
  path = tmp_path / "config.json"
  write_whole(path, "old")
  program = (
    "import resource, signal, sys\nfrom pathlib import Path\nfrom dreamerax.files import write_whole\n"
    f"signal.signal(signal.SIGXFSZ, signal.{death})\nresource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    "try:\n  write_whole(Path(sys.argv[1]), b'x' * 9000)\nexcept OSError as error:\n  sys.exit(error.errno)"
  )
  root = Path(__file__).resolve().parent.parent
  done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=root, check=False)
  assert done.returncode == (-signal.SIGXFSZ if death == "SIG_DFL" else errno.EFBIG)
  assert path.read_text() == "old"
  left = [each.name for each in tmp_path.iterdir()]
  assert sorted(left) == ([".config.json.new"] if death == "SIG_DFL" else []) + ["config.json"]
  write_whole(path, "newer")  # uses up what the dead writer has left
  assert path.read_text() == "newer"
  assert [each.name for each in tmp_path.iterdir()] == ["config.json"]


def test_two_writers_of_one_file_never_mix_their_contents(tmp_path: Path):
  path = tmp_path / "file"
  program = (
    "import sys\nfrom pathlib import Path\nfrom dreamerax.files import write_whole\n"
    "for i in range(60):\n  write_whole(Path(sys.argv[1]), sys.argv[2] * 20000 + str(i))"
  )
  root = Path(__file__).resolve().parent.parent
  writers = [subprocess.Popen([sys.executable, "-c", program, str(path), each], cwd=root) for each in "ab"]
  seen = 0
  while any(writer.poll() is None for writer in writers):
    if path.exists():
      text, seen = path.read_text(), seen + 1
      assert len(text) > 20000
      assert set(text[:20000]) in ({"a"}, {"b"})
  assert seen
  assert [writer.wait() for writer in writers] == [0, 0]
  assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_links_and_what_is_no_file_are_refused_by_name(tmp_path: Path):
  victim = tmp_path / "victim"
  victim.write_text("mine")
  (tmp_path / "link").symlink_to(victim)
  (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
  (tmp_path / "folder").mkdir()
  os.mkfifo(tmp_path / "pipe")
  for name, kind in {
    "link": "symbolic link",
    "nowhere": "symbolic link",
    "folder": "directory",
    "pipe": "pipe",
  }.items():
    for attempt in (
      lambda path: write_whole(path, "theirs"),
      lambda path: write_whole(path, "mine"),
      read_regular,
      lambda path: open_regular(path, os.O_RDWR | os.O_CREAT),
      lambda path: open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ):
      with pytest.raises(ValueError, match=f"{name} is a.*{kind}"):
        os.close(attempt(tmp_path / name))  # type: ignore[arg-type]
  (tmp_path / ".fresh.new").symlink_to(victim)
  with pytest.raises(ValueError, match=r"\.fresh\.new is a symbolic link"):
    write_whole(tmp_path / "fresh", "theirs")
  assert victim.read_text() == "mine"
  assert sorted(each.name for each in tmp_path.iterdir()) == [
    ".fresh.new",
    "folder",
    "link",
    "nowhere",
    "pipe",
    "victim",
  ]


def test_the_links_of_weights_and_biases_are_its_own(tmp_path: Path):
  (tmp_path / "run" / "wandb").mkdir(parents=True)
  (tmp_path / "run" / "wandb" / "latest-run").symlink_to(tmp_path)
  refuse_links(tmp_path)
  (tmp_path / "wandb").symlink_to(tmp_path / "run")
  with pytest.raises(ValueError, match="wandb is a symbolic link"):
    refuse_links(tmp_path)
