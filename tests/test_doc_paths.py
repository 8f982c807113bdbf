"""Files that the documentation names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "experiments" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
YOURS = {"SPEC.py", "my_parts.py", "policy_loader.py"}  # what a reader writes, or a command


def missing(page: Path) -> list[str]:
  """Python files and targets of links that a page names and that are neither in the repository nor in the package."""
  text = page.read_text()
  files = set(re.findall(r"[\w./-]+\.py\b", re.sub(r"https?://\S+", "", text))) - YOURS
  links = {link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link}
  folders = (ROOT, ROOT / "dreamerax", page.parent)
  return sorted(name for name in files | links if not any((folder / name).exists() for folder in folders))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path):
  assert missing(page) == []


def headings(page: Path) -> set[str]:
  """The anchors of a page, as GitHub makes them of its headings."""
  lines = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
  return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_heading_that_a_page_links_to_exists(page: Path):
  links = re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text())
  targets = [(page.parent / file if file else page, anchor) for file, anchor in links if "://" not in file]
  assert [(str(file), anchor) for file, anchor in targets if anchor not in headings(file)] == []


def test_a_file_that_has_moved_is_found(tmp_path: Path):
  page = tmp_path / "page.md"
  page.write_text("`runtime/run.py`, `runtime/loop.py`, [a page](nowhere.md), [a site](https://example.org/no.py)")
  assert missing(page) == ["nowhere.md", "runtime/run.py"]


def test_everything_in_the_tree_of_the_readme_exists():
  tree = (ROOT / "README.md").read_text().split("## Where things are")[1].split("```")[1]
  package = [line.split()[0] for line in tree.splitlines() if line.startswith("  ")]
  top = [line.split()[0] for line in tree.splitlines() if line and not line.startswith(" ")]
  assert len(package) > 10
  assert [name for name in package if not (ROOT / "dreamerax" / name).exists()] == []
  assert [name for name in top if not (ROOT / name).exists()] == []
