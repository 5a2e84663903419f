"""`secateur compare-technologies`: memories side by side, fresh and aged."""

import json


def test_two_memories_fresh_and_after_three_ages(secateur, tmp_path):
    asked = ("compare-technologies", "digits", "--technology", "taox-40nm", "--technology", "pcm",
             "--arm", "programmed", "--arm", "pruned", "--epochs", "1", "--set",
             "network.channels=4", "--set", "network.hidden=12",
             "--out", tmp_path / "run")  # fmt: skip
    said = secateur(*asked)
    assert said.exit_code == 0, said.stderr
    assert "after 1 year" in said.stdout
    found = json.loads(secateur(*asked, "--json").stdout)
    assert found["ages"] == ["fresh", "after 1 day", "after 1 month", "after 1 year"]
    tried = ("as it is", "norms renewed", "compensated by array", "compensated by column")
    assert [(row["technology"], row["arm"], row["remedy"]) for row in found["rows"]] == [
        (name, arm, remedy)
        for name in ("taox-40nm", "pcm") for arm in ("programmed", "pruned") for remedy in tried
    ]  # fmt: skip
    assert all(len(row["cells"]) == 4 and "–" not in row["cells"] for row in found["rows"])
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "Memories, aged: compensated by column" in page


def test_an_unknown_remedy_is_refused_before_anything_runs(secateur, tmp_path):
    refused = secateur("compare-technologies", "digits", "--remedy", "colum+norms",
                       "--out", tmp_path / "run")  # fmt: skip
    assert refused.exit_code == 2
    assert "column" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_an_unknown_memory_is_refused_before_anything_runs(secateur, tmp_path):
    refused = secateur("compare-technologies", "digits", "--technology", "pcn",
                       "--out", tmp_path / "run")  # fmt: skip
    assert refused.exit_code == 2
    assert "pcm" in refused.stderr
    assert not (tmp_path / "run").exists()
