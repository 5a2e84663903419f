"""Runs and pages that several tests read; built once, since drawing takes seconds."""

from pathlib import Path

import pytest
import synthetic

from secateur.report import write_report


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
