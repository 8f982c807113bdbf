#!/usr/bin/env bash
# Everything that `make train` and `make test` need, on Linux: Python packages in .venv, and a renderer for MuJoCo.
# Run again, it checks a stamp and ends. What it reads from the environment:
#   PYTHON  the Python to build .venv with (default: the first of python3.11, python3.12, python3 that is 3.11 or 3.12)
#   EXTRAS  optional dependencies from pyproject.toml (default: dev, or those of the last time), e.g. EXTRAS=dev,gpu
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

readonly STAMP=.venv/.setup-stamp EXTRAS_OF_LAST_TIME=.venv/.setup-extras

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# --- system packages -------------------------------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

can_apt() { # Root, or a sudo that asks nothing, or a person there to answer it.
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }
}

apt_install() {
  local log
  log=$(mktemp)
  if ! { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "$@"; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

# --- Python ----------------------------------------------------------------------------------------------------------

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    case "$(python_version "$PYTHON")" in
      3.11 | 3.12) echo "$PYTHON" && return ;;
      *) fail "PYTHON=$PYTHON is not Python 3.11 or 3.12: name one that is." ;;
    esac
  fi
  for candidate in python3.11 python3.12 python3; do
    case "$(python_version "$candidate")" in 3.11 | 3.12) echo "$candidate" && return ;; esac
  done
  fail "no Python 3.11 or 3.12 found: install one (Debian 12: python3, Ubuntu 24.04: python3, elsewhere" \
    "'uv python install 3.12' or pyenv) and, if it is not on PATH, run make setup PYTHON=/path/to/python3.12"
}

venv_fits() { # A Python that will do, the one asked for if one is, in a folder not moved since (bin/ holds full paths).
  local version
  version=$(python_version .venv/bin/python)
  case "$version" in 3.11 | 3.12) ;; *) return 1 ;; esac
  [ -z "${PYTHON:-}" ] || [ "$(python_version "$PYTHON")" = "$version" ] || return 1
  grep -qF "$PWD/.venv/" .venv/bin/pip 2>/dev/null
}

make_venv() {
  local python version package
  if venv_fits; then return; fi
  python=$(find_python)
  version=$(python_version "$python")
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package="python$version-venv"
    can_apt || fail "$python cannot make virtual environments: install the module venv (Debian, Ubuntu: $package)" \
      "and run make setup again."
    say "installing $package with apt, because $python cannot make a virtual environment without it"
    apt_install "$package" || fail "apt could not install $package: see above."
  fi
  say "making the virtual environment .venv with Python $version"
  rm -rf .venv
  "$python" -m venv .venv
}

install_packages() {
  local version constraints
  version=$(python_version .venv/bin/python)
  constraints="constraints-$version.txt"
  case ",$extras," in *,metaworld,*) # it holds MuJoCo at an older version, and so dm_control and NumPy
    grep -vE '^(mujoco|dm_control|numpy)==' "$constraints" >.venv/constraints.txt
    constraints=.venv/constraints.txt ;;
  esac
  say "installing dreamerax [$extras] and what it is built on (JAX, MuJoCo, ...) into .venv, at the versions in" \
    "$constraints (about 1.6 GB on disk; this takes minutes)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint "$constraints" --editable ".[$extras]"
}

# --- rendering -------------------------------------------------------------------------------------------------------

renders() { # Whether one frame of a real task can be drawn with backend $1.
  MUJOCO_GL="$1" .venv/bin/python -c '
from dm_control import suite
suite.load("cartpole", "balance").physics.render(16, 16)' >/dev/null 2>&1
}

backend_that_renders() {
  local backend
  for backend in ${MUJOCO_GL:-egl osmesa}; do
    if renders "$backend"; then echo "$backend" && return; fi
  done
  return 1
}

make_renderer() {
  local packages backend
  for packages in "libegl1 libgl1" "libosmesa6"; do
    if backend=$(backend_that_renders); then
      say "MuJoCo renders with $backend"
      return
    fi
    can_apt || break
    say "installing $packages with apt, because MuJoCo found no OpenGL to draw pixels with" \
      "(tried: ${MUJOCO_GL:-egl, osmesa})"
    # shellcheck disable=SC2086 # a list of packages
    apt_install $packages || say "apt could not install $packages"
  done
  backend=$(backend_that_renders) && say "MuJoCo renders with $backend" && return
  fail "MuJoCo found no OpenGL to draw pixels with (tried: ${MUJOCO_GL:-egl, osmesa}): install Mesa's EGL as an" \
    "administrator (Debian, Ubuntu: apt install libegl1 libgl1, or libosmesa6; Fedora: dnf install mesa-libEGL" \
    "mesa-dri-drivers) and run make setup again."
}

# ---------------------------------------------------------------------------------------------------------------------

[ "$(uname -s)" = Linux ] || fail "dreamerax runs on Linux only, and this is $(uname -s)."

extras=${EXTRAS:-$(cat "$EXTRAS_OF_LAST_TIME" 2>/dev/null || echo dev)}
wanted=$({ echo "$extras"; cat pyproject.toml constraints-*.txt scripts/setup.sh; } | sha256sum)
if [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ] && venv_fits; then
  exit
fi

make_venv
rm -f "$STAMP"
install_packages
make_renderer
echo "$extras" >"$EXTRAS_OF_LAST_TIME"
echo "$wanted" >"$STAMP"
say "done"
