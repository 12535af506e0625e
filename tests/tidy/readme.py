"""The C code in README.md compiles and runs. Usage: readme.py ROOT BUILD CC SANITIZERS

A block that begins with ```c is a whole program. It is compiled against the built library, without a warning, and run alone;
after a comment line <!-- run: -n 2 --> it is run by `kolo run -n 2`, and after <!-- run: no --> it is only compiled."""
import os
import re
import subprocess
import sys
import tempfile

import tree

BLOCK = re.compile(r"(?:<!-- run: (?P<how>[^\n]*?) -->\n)?```c\n(?P<code>.*?)^```", re.S | re.M)
LIMIT_S = 60


def blocks(text):
    """(first line, how to run, code) of every block."""
    for found in BLOCK.finditer(text):
        yield text.count("\n", 0, found.start("code")) + 1, found["how"], found["code"]


def compile_block(code, place, root, build, compiler, sanitizers):
    """Returns the compiler's complaint, or None."""
    with open(os.path.join(place, "block.c"), "w", encoding="utf-8") as file:
        file.write(code)
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", os.path.join(root, "runtime/include"), "block.c",
               "-o", "block", "-L", build, "-Wl,-rpath," + build, "-lkolo", "-lm"]
    if sanitizers:
        command.append("-fsanitize=" + sanitizers)
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode != 0 else None


def run_block(how, place, build):
    """Returns what it said if it failed, or None."""
    command = ["./block"] if how is None else [os.path.join(build, "bin/kolo"), "run", *how.split(), "./block"]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"it did not end within {LIMIT_S} s"
    return None if done.returncode == 0 else f"exit code {done.returncode}: {done.stdout}{done.stderr}"


def main():
    root, build, compiler, sanitizers = sys.argv[1:5]
    findings, tried = [], 0
    for line, how, code in blocks("\n".join(tree.lines(root, "README.md"))):
        with tempfile.TemporaryDirectory() as place:
            why = compile_block(code, place, root, build, compiler, sanitizers)
            if why is None and how != "no":
                why = run_block(how, place, build)
            tried += 1
            if why is not None:
                findings.append(f"README.md:{line}: {why}")
    print(f"{tried} blocks of C in README.md")
    tree.finish("blocks that do not compile or run", findings)


if __name__ == "__main__":
    main()
