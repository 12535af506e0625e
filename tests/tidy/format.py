"""clang-format agrees with every C file. Usage: format.py ROOT CLANG_FORMAT"""
import subprocess
import sys

import tree


def main():
    root, clang_format = sys.argv[1:3]
    command = [clang_format, "--dry-run", "-Werror", "--ferror-limit=1", *tree.c_files(root)]
    checked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    findings = [line for line in checked.stderr.splitlines() if "error:" in line]
    if checked.returncode != 0 and not findings:
        findings = [checked.stderr]
    if findings:
        print("mend with: clang-format -i FILE")
    tree.finish("unformatted files", findings)


if __name__ == "__main__":
    main()
