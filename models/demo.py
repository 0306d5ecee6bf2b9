# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From a trained model to a C program that reads handwritten digits.

    python models/demo.py [FOLDER]        (default: build/demo)

Compiles digits_cnn.onnx, verifies it, builds the example program of the output folder with a C compiler, lets it read 360
digits that were never trained on, and times the library beside onnxruntime.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from build_digits import digits

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODEL = HERE / "digits_cnn.onnx"


def call(*words: str | Path, quiet: bool = False, **more: object) -> str:
    """Run a command, shown first unless ``quiet``; its stdout. Ends the demo with its exit code when it fails."""
    command = [str(w) for w in words]
    if not quiet:
        print(f"$ {shlex.join(command).replace(sys.executable + ' -m aotgen.cli', 'aotgen')}", flush=True)
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": path}, **more)  # type: ignore[call-overload]
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout


def aotgen(*words: str | Path) -> str:
    return call(sys.executable, "-m", "aotgen.cli", *words)


def build_example(folder: Path) -> Path:
    """The C example of ``folder``, linked with the static library: no C++ in sight."""
    name = json.loads((folder / "manifest.json").read_text("utf-8"))["name"]
    program = folder.parent / "example"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    call(*compiler, "-std=c99", "-O2", "-I", folder / "include", folder / "example" / "main.c",
         folder / "lib" / f"lib{name}.a", "-fopenmp", "-lm", "-o", program)
    return program


def read_digits(program: Path, images: np.ndarray) -> np.ndarray:
    """What the program makes of each image ``f32[1,8,8]``, by way of .bin files."""
    folder = program.parent
    out = []
    for image in images:
        image.astype(np.float32).tofile(folder / "image.bin")
        call(program, "image=image.bin", quiet=True, cwd=folder)
        out.append(int(np.fromfile(folder / "probabilities.bin", np.float32).argmax()))
    return np.array(out)


def picture(image: np.ndarray) -> str:
    return "\n".join("  " + "".join(" .:oO@"[min(5, int(v) // 3)] * 2 for v in row) for row in image.reshape(8, 8))


def main() -> None:
    folder = (Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "demo").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libdigits"
    aotgen(MODEL, "-o", library)
    print(aotgen("verify", MODEL, "--lib", library), end="")
    program = build_example(library)
    _, _, images, labels = digits()
    print(f"$ {program} image=image.bin   # {len(labels)} times")
    answers = read_digits(program, images)
    print(picture(images[0]))
    print(f"the C program reads a {answers[0]}; it is a {labels[0]}")
    right = float((answers == labels).mean())
    print(f"accuracy: {100 * right:.1f} % of {len(labels)} digits never trained on")
    print(aotgen("bench", MODEL, "--lib", library, "--threads", "1", "--rounds", "5", "--seconds", "0.3"), end="")
    if right < 0.97:
        sys.exit("the accuracy should be above 97 %")
    print(f"the library is in {library}; read {library / 'src'} and {library / 'README.md'}")


if __name__ == "__main__":
    main()
