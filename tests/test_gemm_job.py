"""``resilin run gemm``: the utilisation table."""

import json

from resilin.cli import main


def test_small_lane(tmp_path, capsys):
    assert main(["run", "gemm", "--preset", "small", "-o", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "gemm.json").read_text())
    rows = {(row["precision"], row["result"]): row for row in report["products"]}
    assert {precision for precision, _ in rows} == {"FX16", "INT8", "INT4", "INT2"}
    for row in rows.values():
        assert row["k"] >= 256 and row["macs"] == row["m"] * row["n"] * row["k"]
        # No array does more than its peak; the FX16 and INT8 tiles of the small lane are never short of loads.
        assert 0 < row["utilisation"] <= 1
    assert rows["FX16", "FX16"]["utilisation"] >= 0.95 and rows["INT8", "INT8"]["utilisation"] >= 0.95
