"""``resilin run duet_study``: tables and files; bad requests end before anything is computed."""

import json

import pytest

from resilin.cli import main
from tests.workloads.models import crnn, page_lines


def test_methods(tmp_path, capsys):
    crnn(), page_lines()
    command = ["run", "duet_study", "--part", "methods", "--lines", "2", "--evaluation-lines", "1", "--samples", "200"]
    assert main([*command, "-o", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "methods.json").read_text())
    assert len(results["rows"]) == 4 and all(len(row["skip"]) == 6 for row in results["rows"])
    assert "top-K (Eq. 3.19)" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, reason", [(["--image", "absent.png"], "readable file"),
                                               (["--output", __file__], "must be a folder")])
def test_bad_requests(arguments, reason, capsys):
    assert main(["run", "duet_study", *arguments]) == 2
    assert reason in capsys.readouterr().err
