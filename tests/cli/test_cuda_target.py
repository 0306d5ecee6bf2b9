# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the cuda target cannot do yet is said before anything is written."""

from __future__ import annotations

from pathlib import Path

from aotgen.cli.main import main

MODEL = Path(__file__).resolve().parents[2] / "models" / "digits_cnn.onnx"


def test_no_library_is_written_for_cuda(tmp_path, capsys):
    assert main([str(MODEL), "-o", str(tmp_path / "libm"), "--target", "cuda"]) == 1
    assert "not whole libraries" in capsys.readouterr().err
    assert not (tmp_path / "libm").exists()
