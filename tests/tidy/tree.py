"""The files of the tree, as git sees them; without git, all but what is built or hidden."""
import os
import subprocess
import sys

C_ENDINGS = (".c", ".h", ".cpp", ".cu")


def _from_git(root):
    command = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=False)
    return listed.stdout.decode().split("\0") if listed.returncode == 0 else None


def _from_folders(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith((".", "build")) and f not in ("__pycache__", "out")]
        yield from (os.path.relpath(os.path.join(folder, name), root) for name in names)


def files(root):
    """All files, as paths from the root, sorted."""
    listed = _from_git(root) if os.path.exists(os.path.join(root, ".git")) else None
    if listed is None:
        listed = _from_folders(root)
    return sorted(path for path in listed if path and os.path.isfile(os.path.join(root, path)))


def c_files(root):
    return [path for path in files(root) if path.endswith(C_ENDINGS)]


def lines(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace", newline="") as file:
        return file.read().split("\n")


def finish(rule, findings):
    """Print what breaks the rule and end the program."""
    for finding in findings:
        print(finding)
    print(f"{rule}: {len(findings)} found" if findings else f"{rule}: none found")
    sys.exit(1 if findings else 0)
