"""A network so small that a trial takes a moment, and sweeps of it."""

import os
import signal
from pathlib import Path

from secateur.errors import SecateurError
from secateur.experiment.recipe import Recipe
from secateur.experiment.sweep import Plan, Space, work


def recipe(**settings) -> Recipe:
    base = Recipe.parse(
        {"task": "digits", "network": {"channels": 2, "hidden": 8},
         "training": {"epochs": 2, "batch_size": 60}, "run": {"arms": ["pruned"]}}, where="test",
    )  # fmt: skip
    return base.with_settings(settings)


def plan(*over: str, settings: dict | None = None, **how) -> Plan:
    return Plan.of(recipe(**settings or {}), Space.from_words(over), **how)


DEADLY = "0001-pruned"


def deadly(order: dict) -> dict:
    """Work, but that one configuration ends the process that works on it, every time."""
    place = Path(order["out"]) / "runs" / order["run"] / "trials" / "pruned-chip0-validation"
    if order["run"] == DEADLY:
        try:
            work._count_try(place)
        except SecateurError:
            return work.carry_out(order)
        os.kill(os.getpid(), signal.SIGKILL)
    return work.carry_out(order)
