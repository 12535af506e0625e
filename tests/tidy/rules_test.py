"""Every rule finds what breaks it, on a small tree made for it, and lets the rest pass."""
import os
import subprocess
import sys
import tempfile
import unittest

import includes
import readme
import sizes

HERE = os.path.dirname(os.path.abspath(__file__))


def check(rule, files):
    """Run a rule on a tree of these files. Returns (did it pass, what it printed)."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        command = [sys.executable, os.path.join(HERE, rule + ".py"), root]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stdout + done.stderr


class Includes(unittest.TestCase):
    def allowed(self, path, target):
        return includes.check_line(path, f"#include {target}") is None

    def test_allowed(self):
        for path, target in [
            ("collectives/ring.c", '"collectives/schedule.h"'), ("collectives/ring.c", '"runtime/base/wire.h"'),
            ("collectives/ring.c", "<kolo/kolo.h>"), ("collectives/ring.c", "<string.h>"),
            ("transport/tcp/port.c", '"transport/transport.h"'), ("transport/tcp/port.c", '"transport/tcp/frame.h"'),
            ("runtime/membership/genesis.c", '"transport/tcp/port.h"'), ("runtime/api.c", '"runtime/execute/engine.h"'),
            ("runtime/execute/engine.c", '"transport/transport.h"'), ("runtime/execute/engine.c", '"collectives/schedule.h"'),
            ("runtime/plan/cost.c", '"collectives/algorithm.h"'), ("runtime/topology/host.c", "<hwloc.h>"),
            ("tools/plan.c", '"collectives/verify.h"'), ("tools/train_model.c", '"tools/chart.h"'),
            ("tests/transport/conformance/a.c", '"transport/shm/ring.h"'), ("tests/base/a.c", "<cmocka.h>"),
        ]:
            self.assertTrue(self.allowed(path, target), f"{path} must be allowed to include {target}")

    def test_refused(self):
        for path, target in [
            ("collectives/ring.c", '"transport/transport.h"'), ("transport/transport.c", '"collectives/schedule.h"'),
            ("transport/tcp/tcp.c", '"transport/shm/ring.h"'), ("runtime/base/log.c", '"runtime/plan/plan.h"'),
            ("runtime/plan/cost.c", '"transport/transport.h"'), ("runtime/execute/engine.c", '"transport/tcp/port.h"'),
            ("runtime/membership/view.c", '"collectives/schedule.h"'), ("runtime/reduce/sum.c", '"runtime/api.h"'),
            ("tools/perf.c", '"transport/transport.h"'), ("tools/train.c", '"runtime/execute/engine.h"'),
            ("runtime/api.c", '"tools/command.h"'), ("runtime/plan/cost.c", '"tests/lib/ring.h"'),
            ("runtime/base/log.c", "<hwloc.h>"), ("tools/perf.c", "<mpi.h>"), ("runtime/api.c", "<cmocka.h>"),
            ("collectives/ring.c", "<pthread.h>"), ("collectives/ring.c", "<sys/socket.h>"),
            ("elsewhere/new.c", '"runtime/base/log.h"'),
        ]:
            self.assertFalse(self.allowed(path, target), f"{path} must not be allowed to include {target}")

    def test_whole_tree(self):
        good = {"transport/a.c": "#include <stdio.h>\n", "collectives/b.c": "// #include nothing\n"}
        self.assertTrue(check("includes", good)[0])
        passed, said = check("includes", {**good, "collectives/c.c": 'int a;\n#  include "transport/a.h"\n'})
        self.assertFalse(passed)
        self.assertIn("collectives/c.c:2:", said)


class Layout(unittest.TestCase):
    def test_good(self):
        self.assertTrue(check("layout", {"tools/README.md": "", "tools/a.c": "", ".clang-format": "", "LICENSE": ""})[0])

    def test_breaks(self):
        for files, said in [({"notes.txt": ""}, "notes.txt"), ({"tools/a.c": ""}, "tools: has no README.md"),
                            ({"tools/README.md": "", "tools/utils.c": ""}, "utils.c"),
                            ({"runtime/README.md": "", "runtime/common/README.md": ""}, "runtime/common")]:
            passed, output = check("layout", files)
            self.assertFalse(passed, said)
            self.assertIn(said, output)


class Words(unittest.TestCase):
    def test_breaks(self):
        for text in ["int a; // TO" + "DO\n", "see /ho" + "me/me/kolo\n", "space \n", "no end", "a\r\n", "<<<<" + "<<< HEAD\n"]:
            self.assertFalse(check("words", {"a.c": text})[0], repr(text))

    def test_good(self):
        self.assertTrue(check("words", {"a.c": "hackers at http://a.example/home/page, ${X}/root/y, XXXXXX\n"})[0])


class Sizes(unittest.TestCase):
    FUNCTION = "static int\nlong_one(int a,\n         int b)\n{\n%s    return a;\n}\n"

    def test_a_function_is_measured_with_its_heading(self):
        lines = ("/* text\n */\n" + self.FUNCTION % "").split("\n")
        self.assertEqual(sizes.functions(lines), [(6, "long_one", 3)])

    def test_structures_are_no_functions(self):
        self.assertEqual(sizes.functions("struct a\n{\n    int b;\n}\n;".split("\n")), [])

    def test_limits(self):
        self.assertTrue(check("sizes", {"a.c": self.FUNCTION % ("    a++;\n" * 64)})[0])
        passed, said = check("sizes", {"a.c": self.FUNCTION % ("    a++;\n" * 65)})
        self.assertFalse(passed)
        self.assertIn("a.c:1 long_one: 71 lines", said)
        self.assertFalse(check("sizes", {"a.c": "\n" * 801})[0])


class Readme(unittest.TestCase):
    def test_blocks(self):
        text = "a\n```c\nint x;\n```\nb\n<!-- run: -n 2 -->\n```c\nint y;\n```\n```sh\nls\n```\n"
        self.assertEqual(list(readme.blocks(text)), [(3, None, "int x;\n"), (8, "-n 2", "int y;\n")])


if __name__ == "__main__":
    unittest.main()
