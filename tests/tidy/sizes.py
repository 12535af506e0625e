"""How long functions and files are; too long fails. Usage: sizes.py ROOT

A function is counted from the line its return type stands on to its closing brace. clang-format puts both braces of
a function, and of nothing else, at the start of a line."""
import re
import sys

import tree

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
SHOWN = 10
NAME = re.compile(r"(\w+)\s*\(")
NOT_A_FUNCTION = re.compile(r"\s*(typedef|struct|union|enum|extern|namespace)\b[^(]*$|.*=\s*$")


def heading_start(lines, brace):
    """The line on which the heading of the function begins whose '{' is at `brace`."""
    start = brace
    while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith(("}", "#", " *", "/*", "//")) \
            and not lines[start - 1].rstrip().endswith((";", "*/")):
        start -= 1
    return start


def functions(lines):
    """(lines, name, first line) of every function."""
    found, brace = [], None
    for number, line in enumerate(lines):
        if line == "{":
            brace = number
        elif line == "}" and brace is not None:
            start = heading_start(lines, brace)
            heading = " ".join(lines[start:brace])
            name = NAME.search(heading)
            if name and not NOT_A_FUNCTION.match(heading):
                found.append((number - start + 1, name.group(1), start + 1))
            brace = None
    return found


def percentile(sorted_values, percent):
    return sorted_values[min(len(sorted_values) - 1, len(sorted_values) * percent // 100)] if sorted_values else 0


def show(what, sizes, limit):
    values = sorted(size for size, _ in sizes)
    print(f"{what}: {len(values)}, median {percentile(values, 50)}, p90 {percentile(values, 90)} lines, limit {limit}")
    for size, where in sorted(sizes, reverse=True)[:SHOWN]:
        print(f"  {size:5} {where}")


def main():
    root = sys.argv[1]
    all_functions, all_files = [], []
    for path in tree.c_files(root):
        lines = tree.lines(root, path)
        all_files.append((len(lines) - 1, path))
        all_functions += [(size, f"{path}:{first} {name}") for size, name, first in functions(lines)]
    show("functions", all_functions, FUNCTION_LINES_MAX)
    show("files", all_files, FILE_LINES_MAX)
    findings = [f"{where}: {size} lines" for size, where in all_functions if size > FUNCTION_LINES_MAX]
    findings += [f"{where}: {size} lines" for size, where in all_files if size > FILE_LINES_MAX]
    tree.finish("functions and files that are too long", findings)


if __name__ == "__main__":
    main()
