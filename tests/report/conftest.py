"""Runs and pages that several tests read; built once, since drawing takes seconds."""

from pathlib import Path

import pytest
import synthetic
import synthetic_sweep

from secateur.report import write_report
from secateur.report.sweep_page import write_sweep_page


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.full_run(tmp_path_factory.mktemp("runs") / "pairs-and-cells")


@pytest.fixture(scope="session")
def digital_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.digital_run(tmp_path_factory.mktemp("runs") / "digital-only")


@pytest.fixture(scope="session")
def full_page(full_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([full_run], tmp_path_factory.mktemp("pages") / "full.html")


@pytest.fixture(scope="session")
def digital_page(digital_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([digital_run], tmp_path_factory.mktemp("pages") / "digital.html")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.small_run(tmp_path_factory.mktemp("runs") / "pairs")


@pytest.fixture(scope="session")
def joint_page(
    small_run: Path, digital_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_report([small_run, digital_run], tmp_path_factory.mktemp("pages") / "joint.html")


@pytest.fixture(scope="session")
def sweep_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "sweep"
    content = synthetic_sweep.results()
    return write_sweep_page(synthetic_sweep.write(folder, content), folder / "report.html")
