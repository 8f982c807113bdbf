"""Errors by horizon as a table, as metrics and as a plot."""

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from dreamerax import files
from dreamerax.offline.open_loop import MODEL, PREDICTORS, REWARD, HorizonErrors
from dreamerax.types import EnvSpec

_SHOWN = (1, 2, 5, 10, 15, 25, 45, 90, 180)  # horizons in the table


def horizons(found: HorizonErrors) -> list[int]:
  """Those that the table shows: as far as some window reaches, the farthest included."""
  farthest = int(np.flatnonzero(found.count)[-1]) + 1
  return sorted({*(horizon for horizon in _SHOWN if horizon <= farthest), farthest})


def rows(found: HorizonErrors, spec: EnvSpec) -> tuple[list[str], list[list[str]]]:
  """Header and one row for each horizon."""
  header, columns = ["horizon", "windows"], []
  for name, array in found.observations(spec).items():
    kind = "PSNR, dB" if array.is_image else "squared error"
    header += [f"{name} {kind}: {PREDICTORS[0]}", *PREDICTORS[1:]]
    for predictor in PREDICTORS:
      error = found.errors[predictor][name]
      columns.append(
        [f"{x:.2f}" for x in found.psnr(predictor, name)] if array.is_image else [f"{x:.4g}" for x in error]
      )
    if array.is_image:
      header.append(f"{name} squared error: {MODEL}")
      columns.append([f"{x:.5f}" for x in found.errors[MODEL][name]])
      header += [f"{name} SSIM: {PREDICTORS[0]}", *PREDICTORS[1:]]
      columns += [[f"{x:.4f}" for x in found.similarity[predictor][name]] for predictor in PREDICTORS]
  header += [f"reward error: {PREDICTORS[0]}", *PREDICTORS[1:]]
  columns += [[f"{x:.4f}" for x in found.errors[predictor][REWARD]] for predictor in PREDICTORS]
  shown = [[str(h), str(found.count[h - 1]), *(column[h - 1] for column in columns)] for h in horizons(found)]
  return header, shown


def scalars(found: HorizonErrors, spec: EnvSpec) -> dict[str, float]:
  """open_loop/<predictor>/<name>/<quantity>/<horizon>, for the horizons of the table."""
  values: dict[str, float] = {}
  for predictor in PREDICTORS:
    head = f"open_loop/{predictor.replace(' ', '_')}"
    for horizon in horizons(found):
      for name, array in found.observations(spec).items():
        values[f"{head}/{name}/mse/{horizon}"] = float(found.errors[predictor][name][horizon - 1])
        if array.is_image:
          values[f"{head}/{name}/psnr/{horizon}"] = float(found.psnr(predictor, name)[horizon - 1])
          values[f"{head}/{name}/ssim/{horizon}"] = float(found.similarity[predictor][name][horizon - 1])
      values[f"{head}/reward/mae/{horizon}"] = float(found.errors[predictor][REWARD][horizon - 1])
  return values


def plot(found: HorizonErrors, spec: EnvSpec, path: Path, title: str) -> None:
  """One panel for each array and one for the reward, as a PNG file."""
  names = [*found.observations(spec), REWARD]
  figure, panels = plt.subplots(1, len(names), figsize=(4.5 * len(names), 3.6), layout="constrained", squeeze=False)
  ahead = np.arange(1, len(found.count) + 1)
  for panel, name in zip(panels[0], names, strict=True):
    for predictor in PREDICTORS:
      panel.plot(ahead, found.errors[predictor][name], label=predictor, linestyle="-" if predictor == MODEL else "--")
    kind = "absolute error" if name == REWARD else "squared error"
    panel.set(title=name, xlabel="agent steps ahead", ylabel=kind)
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
  panels[0][0].legend(fontsize="small")
  figure.suptitle(title, fontsize="medium")
  picture = io.BytesIO()
  figure.savefig(picture, format="png", dpi=120)
  files.write_whole(path, picture.getvalue())
  plt.close(figure)
