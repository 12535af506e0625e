"""Words that must not be in the tree. Usage: words.py ROOT"""
import re
import sys

import tree

# The parts are joined so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
ONE_MACHINE = re.compile(r"(?<![\w.*/})-])/(home|root|Users|workspace)/\w")
RULES = {
    "unfinished work: finish it, or say in README.md what is missing": UNFINISHED,
    "a path of one person's machine": ONE_MACHINE,
    "white space at the end of the line": re.compile(r"[ \t]+$"),
    "a carriage return": re.compile("\r"),
    "an unsettled merge": re.compile(r"^(<{7}|>{7}) "),
}
NOT_OURS = {"LICENSE"}
BINARY = (".png", ".bin")


def main():
    root = sys.argv[1]
    findings = []
    for path in tree.files(root):
        if path in NOT_OURS or path.endswith(BINARY):
            continue
        text = tree.lines(root, path)
        for number, line in enumerate(text, 1):
            findings += [f"{path}:{number}: {why}" for why, rule in RULES.items() if rule.search(line)]
        if text[-1] != "":
            findings.append(f"{path}:{len(text)}: no newline at the end of the file")
    tree.finish("words that must not be there", findings)


if __name__ == "__main__":
    main()
