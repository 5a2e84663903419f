"""Technologies: every number has a unit and an origin, and bad files are refused with a remedy."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from secateur.device import Technology, presets, unit_of
from secateur.errors import FileError, SettingError

PRESET = (
    Path(__file__).parents[2] / "src/secateur/device/presets/taox-40nm.toml"
).read_text(encoding="utf-8")  # fmt: skip


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", presets())
def test_every_number_of_a_preset_has_a_unit_and_an_origin(name: str) -> None:
    technology = Technology.load(name)
    assert technology.name == name
    rows = technology.parameters()
    assert len(rows) >= 20
    for parameter, value, unit, meaning, provenance in rows:
        assert isinstance(value, float), parameter
        assert unit in ("S", "V", "A", "s", "K", "eV", "1"), parameter
        assert meaning, parameter
        origin, _, words = provenance.partition(": ")
        assert origin in ("source", "assumption"), parameter
        assert words, parameter
        assert words != "not stated", parameter


def test_the_preset_holds_the_measured_figures() -> None:
    taox = Technology.load("taox-40nm")
    assert (taox.breakdown_voltage, taox.breakdown_spread) == (3.433, 0.114)
    assert taox.read_noise == 0.02
    assert taox.high_cycle_spread == 0.05
    provenance = {row[0]: row[4] for row in taox.parameters()}
    measured = (
        "breakdown_voltage",
        "breakdown_spread",
        "breakdown_lowest",
        "high_conductance",
        "read_noise",
    )
    assert all(provenance[name].startswith("source: ") for name in measured)
    # Nobody has published these: they may not pass for measurements.
    unknown = ("low_conductance", "endurance", "high_cycle_spread", "read_voltage")
    assert all(provenance[name].startswith("assumption: ") for name in unknown)


def test_the_ideal_preset_has_no_noise_no_wear_and_a_perfect_reset() -> None:
    ideal = Technology.load("ideal")
    zeros = (
        "pristine_conductance", "low_conductance", "low_device_spread", "low_cycle_spread",
        "high_cycle_spread", "read_noise", "programming_error", "stuck_low_fraction",
        "stuck_high_fraction",
    )  # fmt: skip
    assert [getattr(ideal, name) for name in zeros] == [0.0] * len(zeros)
    assert ideal.endurance >= 1e15
    # Its weights are random all the same.
    assert ideal.high_device_spread > 0.1


def test_units_are_those_of_the_international_system() -> None:
    assert unit_of("high_conductance") == "S"
    assert unit_of("forming_width") == "s"
    assert unit_of("read_noise") == "1"


def test_a_file_of_the_same_layout_is_a_technology(tmp_path: Path) -> None:
    path = write(tmp_path, PRESET.replace("value = 3.433", "value = 3.2"))
    for source in (path, str(path)):
        loaded = Technology.load(source)
        assert loaded.breakdown_voltage == 3.2
        assert loaded.parameters()[1][4].startswith("source: ")
    assert Technology.load(loaded) is loaded


def test_technologies_are_frozen_and_changed_by_copy() -> None:
    taox = Technology.load("taox-40nm")
    with pytest.raises(ValidationError):
        taox.read_noise = 0.0
    quiet = taox.with_values(read_noise=0.0)
    assert (taox.read_noise, quiet.read_noise) == (0.02, 0.0)
    origins = {row[0]: row[4] for row in quiet.parameters()}
    assert origins["read_noise"] == "assumption: set by the user"
    assert origins["breakdown_voltage"].startswith("source: ")


# --- Refusals ----------------------------------------------------------------------------------


def test_an_unknown_technology_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingError, match=r"'taox-40nm'\? Or give the path of a TOML file\.$"):
        Technology.load("taox-40")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('value = 3.433\nunit = "V"', "value = 3.433", "breakdown_voltage has unit None, but 'V'"),
        ('value = 3.433\nunit = "V"', 'value = 3433\nunit = "mV"', "unit 'mV', but 'V'"),
        ("value = 3.433\n", "", "breakdown_voltage needs a value"),
        ("[read_noise]\n", "[read_nois]\n", r"'read_nois'.*'read_noise'"),
        ("value = 3.433", "value = -3.433", "breakdown_voltage = -3.433"),
        ("value = 3.433", "value = nan", "breakdown_voltage = nan"),
        ("value = 3.433", "value = inf", "breakdown_voltage = inf"),
        ("value = 3.433", 'value = "high"', "breakdown_voltage = 'high'"),
        ("value = 0.02\n", "value = 1.5\n", "read_noise = 1.5"),
    ],
)
def test_bad_numbers_are_refused_by_name(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in PRESET
    text = PRESET.replace(old, new, 1)
    with pytest.raises(SettingError, match=words) as caught:
        Technology.load(write(tmp_path, text))
    assert "mine.toml" in str(caught.value)
    assert caught.value.remedy


def test_a_number_without_an_origin_is_refused(tmp_path: Path) -> None:
    text = PRESET.replace("assumption =", "comment =")
    with pytest.raises(SettingError, match="a source or an assumption"):
        Technology.load(write(tmp_path, text))


def test_a_bare_number_is_refused(tmp_path: Path) -> None:
    """It would have neither unit nor origin."""
    start = PRESET.index("[read_noise]")
    stop = PRESET.index("[programming_error]")
    text = PRESET[:start] + PRESET[stop:]
    text = text.replace("[pristine_conductance]", "read_noise = 0.02\n[pristine_conductance]")
    with pytest.raises(SettingError, match=r"read_noise is 0\.02, without a unit"):
        Technology.load(write(tmp_path, text))


def test_a_missing_number_is_named_and_nothing_else_is_printed(tmp_path: Path) -> None:
    start, stop = PRESET.index("[read_noise]"), PRESET.index("[programming_error]")
    with pytest.raises(SettingError, match=r"^read_noise is missing \(") as caught:
        Technology.load(write(tmp_path, PRESET[:start] + PRESET[stop:]))
    assert len(str(caught.value)) < 300
    with pytest.raises(SettingError, match="name is missing"):
        Technology.load(write(tmp_path, PRESET.replace('name = "taox-40nm"\n', "")))


@pytest.mark.parametrize("key", ["name", "provenance", "unknown"])
def test_tables_that_are_no_parameter_are_refused(tmp_path: Path, key: str) -> None:
    text = PRESET.replace('name = "taox-40nm"\n', "") + f'\n[{key}]\nvalue = 1\nunit = "V"\n'
    with pytest.raises(SettingError, match=key):
        Technology.load(write(tmp_path, text))


def test_a_file_that_is_no_technology_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Not a TOML file"):
        Technology.load(write(tmp_path, "name = = 3"))
    with pytest.raises(FileError, match="cannot be read"):
        Technology.load(tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="cannot be read"):
        Technology.load(binary)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"read_noise": -0.1}, "read_noise"),
        ({"breakdown_voltage": -3.4}, "breakdown_voltage"),
        ({"read_nois": 0.1}, "'read_noise'"),
        ({"endurance": 0}, "endurance"),
        ({"forming_width": 0.0}, "forming_width"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Technology.load("taox-40nm").with_values(**values)
