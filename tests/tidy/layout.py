"""The tree has the shape that README.md tells of. Usage: layout.py ROOT"""
import os
import sys

import tree

TOP = {"collectives", "transport", "runtime", "tools", "tests", "CMakeLists.txt", "README.md", "LICENSE"}
NO_README = {"runtime/include"}  # one public header, which explains itself
NAMELESS = ("util", "utils", "common", "misc", "helper", "helpers")  # names that say nothing


def folders(paths):
    """Every folder that has a file in it, at any depth, without the hidden ones."""
    found = set()
    for path in paths:
        folder = os.path.dirname(path)
        while folder and not folder.startswith("."):
            found.add(folder)
            folder = os.path.dirname(folder)
    return sorted(found)


def has_code(paths, folder):
    return any(os.path.dirname(path) == folder and path.endswith(tree.C_ENDINGS) for path in paths)


def main():
    paths = tree.files(sys.argv[1])
    findings = []
    for top in sorted({path.split("/")[0] for path in paths} - TOP):
        if not top.startswith("."):
            findings.append(f"{top}: the top level holds only {', '.join(sorted(TOP))} and dot files")
    for folder in folders(paths):
        # Folders of folders and of code explain themselves; data beside a test is told of by the test's README.md.
        is_main = folder.count("/") <= 1 or has_code(paths, folder)
        if is_main and not folder.startswith(tuple(NO_README)) and folder + "/README.md" not in paths:
            parent = os.path.dirname(folder) + "/README.md"
            if folder.count("/") <= 1 or parent not in paths:
                findings.append(f"{folder}: has no README.md")
    for path in paths:
        if os.path.splitext(os.path.basename(path))[0] in NAMELESS or os.path.basename(os.path.dirname(path)) in NAMELESS:
            findings.append(f"{path}: the name does not say what is in it")
    tree.finish("breaks in the layout", findings)


if __name__ == "__main__":
    main()
