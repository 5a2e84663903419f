"""A finished trial of a search: its settings, masks and digital state, to be put on a chip."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from secateur.chip import Chip
from secateur.errors import FileError, SettingError, nearest
from secateur.experiment.anatomy import read_masks
from secateur.experiment.arms import Pruned, arm_named, chip_from
from secateur.experiment.recipe import Recipe, for_chip
from secateur.network import ChipWeight, PrunedWeight, Search, pruned_weights, read_tensors
from secateur.network.saving import header_of
from secateur.tasks import Task, task_named


@dataclass(frozen=True)
class Finished:
    """What a search has found.

    Args:
        folder: of the trial.
        arm: its name.
        recipe: as the arm and the chip see it.
        seed: of the trial.
        figures: that it has reported.
        masks: by the weights' names.
    """

    folder: Path
    arm: str
    recipe: Recipe
    seed: int
    figures: dict[str, float]
    masks: dict[str, Tensor]

    @property
    def task(self) -> Task:
        """What was learnt."""
        return task_named(self.recipe.task.name)

    def model_on(self, chip: Chip) -> nn.Module:
        """The trial's network on a chip as formed, all edges kept; no SET or RESET is sent.

        Its digital state (norms, converters, gains) is that of the trial.

        Raises:
            FileError: where the trial's checkpoint is gone or of another network.
        """
        task, arm = self.task, arm_named(self.arm)
        assert isinstance(arm, Pruned)
        network = task.build(self.recipe.network)
        model = replace(arm, keep_all=True).on(
            chip, network, self.recipe, task=task, steps=1, seed=self.seed
        )
        _load_digital(model, self.folder)
        return model.eval()

    def standing_on(self, chip: Chip) -> nn.Module:
        """As `model_on`, on a chip that holds the trial's weights already; nothing is placed.

        Raises:
            ChipError: where it does not hold them.
        """
        own = self.recipe.chip.model_copy(update={"address": None})
        model = self.model_on(chip_from(own, self.seed))
        for weight in (m for m in model.modules() if isinstance(m, ChipWeight)):
            chip.placement.check(weight.region)
            weight.chip = chip
        for weight in pruned_weights(model).values():
            if isinstance(weight.search, Search):
                weight.search.chip = chip
        return model

    def weights_on(self, chip: Chip) -> dict[str, PrunedWeight]:
        """The weights of `model_on`, or where the chip holds weights already of `standing_on`.

        Raises:
            FileError: as `model_on`, and where a mask does not fit.
            ChipError: as `standing_on`.
        """
        standing = bool(chip.placement.regions)
        weights = pruned_weights(self.standing_on(chip) if standing else self.model_on(chip))
        for name, weight in weights.items():
            if name not in self.masks or self.masks[name].shape != weight.mask.shape:
                raise FileError(
                    f"There is no mask for {name}", where=str(self.folder / "masks.npz"),
                    cause="files of two runs mixed", remedy="Run the search again",
                )  # fmt: skip
        return weights


def finished_trial(
    directory: Path, *, arm: str | None = None, chip: int = 0, variant: str = ""
) -> Finished:
    """A trial of a finished run that has searched for a topology.

    Args:
        directory: of the run.
        arm: of the trial; the only one that searched, where None.
        chip: number of its chip.
        variant: `path=value` of a varied setting, or "".

    Raises:
        FileError: for a directory that is no finished run.
        SettingError: where the run has no such trial, or several and none was named.
    """
    results = _results(directory)
    if not results:
        raise FileError(
            "No finished search is in this directory", where=str(directory),
            cause="another directory, or a run of arms that prune nothing",
            remedy="Give the directory of a finished run of an arm that prunes, such as `pruned`",
        )  # fmt: skip
    arms = sorted({result["arm"] for _, result in results})
    if arm is None and len(arms) > 1:
        raise SettingError(
            f"This run has several searches: {', '.join(arms)}", where=str(directory),
            remedy="Name one with --arm",
        )  # fmt: skip
    chosen = arm or arms[0]
    if chosen not in arms:
        raise SettingError(f"No search of the arm {chosen!r} here", remedy=nearest(chosen, arms))
    of_arm = [(f, r) for f, r in results if r["arm"] == chosen]
    named = [(f, r) for f, r in of_arm if r["chip"] == chip and r["variant"] == variant]
    # A run of both splits reports the one that was trained on both parts.
    named.sort(key=lambda one: one[1]["part"] != "test")
    if not named:
        known = sorted({f"{r['variant'] or 'no variant'}, chip {r['chip']}" for _, r in of_arm})
        raise SettingError(
            f"{chosen} has no chip {chip}" + (f" with {variant}" if variant else ""),
            where=str(directory), remedy=f"There are: {'; '.join(known)}",
        )  # fmt: skip
    folder, result = named[0]
    whole = Recipe.read(directory / "recipe.toml")
    own = for_chip(whole.with_settings(result["overrides"]).for_arm(chosen), chip)
    return Finished(
        folder, chosen, own, int(result["seed"]), dict(result["figures"]),
        read_masks(folder / "masks.npz"),
    )  # fmt: skip


# --- Inside -----------------------------------------------------------------------------------


def _results(directory: Path) -> list[tuple[Path, dict[str, Any]]]:
    found = []
    for path in sorted(directory.glob("trials/*/result.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileError(f"A trial's result cannot be read: {error}", where=str(path)) from error
        if result.get("masks") and (path.parent / "masks.npz").is_file():
            found.append((path.parent, result))
    return found


def _load_digital(model: nn.Module, folder: Path) -> None:
    """Loads all but the weights that are on the chip, and of these the gains."""
    paths = sorted(folder.glob("checkpoint-*.safetensors"))
    if not paths:
        raise FileError(
            "The trial's checkpoint is gone", where=str(folder),
            cause="it was deleted to save space", remedy="Run the search again",
        )  # fmt: skip
    tensors, metadata = read_tensors(paths[-1])
    header = header_of(json.loads(metadata["secateur.checkpoint"])["model"])
    prefix = "model/network/"
    state = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    state |= {alias: state[name] for alias, name in header["aliases"].items() if name in state}
    held = {name: m for name, m in model.named_modules() if isinstance(m, ChipWeight)}
    for name, weight in held.items():
        if isinstance(weight, PrunedWeight) and f"{name}.gain" in state:
            weight.set_gain(float(state[f"{name}.gain"]))
    digital = {
        name: tensor
        for name, tensor in state.items()
        if not any(name.startswith(f"{weight}.") for weight in held)
    }
    missing, surplus = model.load_state_dict(digital, strict=False)
    missing = [n for n in missing if not any(n.startswith(f"{weight}.") for weight in held)]
    if missing or surplus:
        raise FileError(
            f"The checkpoint is of another network: {[*missing, *surplus][0]}",
            where=str(paths[-1]), cause="files of two runs mixed", remedy="Run the search again",
        )  # fmt: skip
