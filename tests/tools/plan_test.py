"""`kolo plan`, and the frame of the tool, as a user meets them. Usage: plan_test.py KOLO"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

KOLO = os.path.abspath(sys.argv.pop(1))
LIMIT_S = 60
OK, FAILED, USAGE = 0, 1, 2


def kolo(*words):
    """Run the tool. Returns (exit code, output, errors)."""
    done = subprocess.run([KOLO, *words], capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def plan(*words):
    """Run `kolo plan`, which must succeed and say nothing on the error stream. Returns its output."""
    code, out, err = kolo("plan", *words)
    assert code == OK and err == "", (words, code, out, err)
    return out


def value(out, name):
    """The number and unit after a name, in seconds."""
    number, unit = re.search(rf"^  {name} +([\d.]+) (\w+)", out, re.MULTILINE).groups()
    return float(number) * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}[unit]


class Frame(unittest.TestCase):
    def test_help_names_all_commands(self):
        code, out, err = kolo("--help")
        self.assertEqual((code, err), (OK, ""))
        for name in ("run", "plan", "perf", "train"):
            self.assertRegex(out, rf"(?m)^  {name} +\w")

    def test_version(self):
        code, out, _ = kolo("--version")
        self.assertEqual(code, OK)
        self.assertRegex(out, r"^kolo \d+\.\d+\.\d+\n$")

    def test_unknown_command_names_those_there_are(self):
        code, out, err = kolo("plna")
        self.assertEqual((code, out), (USAGE, ""))
        self.assertIn('no command "plna"', err)
        self.assertIn("run, plan, perf, doctor, train", err)

    def test_no_command(self):
        code, out, err = kolo()
        self.assertEqual((code, out), (USAGE, ""))
        self.assertIn("Usage: kolo COMMAND", err)


class One(unittest.TestCase):
    def test_ring_is_listed_proved_and_timed(self):
        out = plan("--algorithm", "ring", "--ranks", "8", "--bytes", "64M", "--rate", "25Gbit", "--latency", "5us")
        for rank in range(8):
            self.assertIn(f"rank {rank}: 28 instructions on 8 chunks", out)
        self.assertIn("proved for all 8 ranks together", out)
        self.assertRegex(out, r"instructions +224\n")
        self.assertRegex(out, r"messages +112\n")
        self.assertRegex(out, r"rounds +14\n")
        self.assertRegex(out, r"sent +1.75 vectors")
        best = 2 * 7 / 8 * (64 << 20) / (25e9 / 8)
        self.assertAlmostEqual(value(out, "simulated"), best, delta=0.001 * best)
        self.assertAlmostEqual(value(out, "by formula"), best, delta=0.001 * best)
        self.assertAlmostEqual(value(out, "bound"), best, delta=0.001 * best)

    def test_network_counts(self):
        out = plan("--algorithm", "star", "--ranks", "5", "--bytes", "1G", "--rate", "1GB", "--port-rate", "2GB",
                   "--latency", "0")
        self.assertIn("1 GiB at 8 Gbit/s a link, 16 Gbit/s a port, latency 0 s", out)
        # Four vectors go through the server's port in each direction, at once; link rates do not matter.
        self.assertAlmostEqual(value(out, "simulated"), 4 * (1 << 30) / 2e9, delta=0.02 * 2.15)
        slow = plan("--collective", "reduce", "--algorithm", "chain", "--ranks", "2", "--bytes", "1G",
                    "--rate", "10GB", "--reduce-rate", "500MB", "--overhead", "1ms")
        self.assertIn("overhead 1 ms, reducing 500 MB/s", slow)
        self.assertAlmostEqual(value(slow, "simulated"), (1 << 30) / 5e8, delta=0.02)

    def test_one_rank_of_the_group(self):
        out = plan("--algorithm", "ring", "--ranks", "4", "--rank", "2")
        self.assertEqual(re.findall(r"^rank (\d+):", out, re.MULTILINE), ["2"])

    def test_long_listings_are_cut_unless_full(self):
        short = plan("--algorithm", "ring", "--ranks", "16")
        self.assertEqual(len(re.findall(r"^rank \d+:", short, re.MULTILINE)), 8)
        self.assertIn("36 more", short)
        self.assertIn("8 more ranks; --full", short)
        full = plan("--algorithm", "ring", "--ranks", "16", "--full")
        self.assertEqual(len(re.findall(r"^rank \d+:", full, re.MULTILINE)), 16)
        self.assertNotIn("more", full)
        self.assertEqual(len(re.findall(r"^ +\d+ .*(?:send|receive)", full, re.MULTILINE)), 16 * 60)

    def test_root(self):
        out = plan("--collective", "broadcast", "--algorithm", "double-tree", "--ranks", "5", "--root", "3")
        self.assertIn("broadcast by double-tree, 5 ranks, root 3", out)
        self.assertIn("proved for all 5 ranks", out)

    def test_barrier_has_no_bytes(self):
        out = plan("--collective", "barrier", "--algorithm", "dissemination", "--ranks", "9", "--latency", "10us")
        self.assertAlmostEqual(value(out, "simulated"), 40e-6, delta=1e-9)
        self.assertNotIn("bus bandwidth", out)

    def test_one_rank_alone(self):
        out = plan("--algorithm", "ring", "--ranks", "1")
        self.assertIn("proved", out)
        self.assertIn("simulated     0 s", out)

    def test_without_proof(self):
        out = plan("--algorithm", "ring", "--no-proof")
        self.assertIn("not proved (--no-proof)", out)
        self.assertNotIn("proved for", out)

    def test_large_group(self):
        out = plan("--algorithm", "double-tree", "--ranks", "1000", "--no-proof", "--rank", "999")
        self.assertIn("rank 999:", out)


class All(unittest.TestCase):
    def test_comparison_is_sorted_and_complete(self):
        _, listed, _ = kolo("plan", "--list")
        for part in listed.strip().split("\n\n"):
            collective, *rows = part.split("\n")
            names = sorted(row.split()[0] for row in rows)
            out = plan("--collective", collective, "--ranks", "6", "--bytes", "1M")
            table = re.findall(r"^([a-z][\w-]*) +proved +\d+ +\d+ +[\d.]+ +([\d.]+) (ns|us|ms|s) ", out, re.MULTILINE)
            self.assertEqual(sorted(row[0] for row in table), names)
            times = [float(number) * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}[unit] for _, number, unit in table]
            self.assertEqual(times, sorted(times))

    def test_small_vectors_and_large_ones_have_other_winners(self):
        def first(size):
            out = plan("--ranks", "16", "--bytes", size)
            return re.search(r"^([\w-]+) +proved", out, re.MULTILINE).group(1)
        self.assertEqual(first("8"), "direct")
        self.assertIn(first("256M"), ("ring", "two-shot", "circulant"))

    def test_baseline_and_limits_are_told(self):
        out = plan("--ranks", "8", "--bytes", "64M")
        self.assertRegex(out, r"(?m)^star .*baseline$")

    def test_list_names_every_collective(self):
        out = plan("--list")
        for name in ("all-reduce", "reduce-scatter", "all-gather", "broadcast", "reduce", "barrier"):
            self.assertRegex(out, rf"(?m)^{name}$")
        self.assertRegex(out, r"(?m)^  ring +\w")


class Picture(unittest.TestCase):
    def test_svg_is_a_document_with_what_was_asked(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "ring.svg")
            out = plan("--algorithm", "ring", "--ranks", "4", "--svg", path)
            self.assertIn(f"the picture is in {path}", out)
            root = xml.parse(path).getroot()
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
            self.assertIn("all-reduce by ring, 4 ranks", texts)
            for text in ("round", "rank", "chunk", "added to the partial sum", "6"):
                self.assertIn(text, texts)

    def test_picture_that_cannot_be_written(self):
        code, _, err = kolo("plan", "--algorithm", "ring", "--svg", "/nowhere/ring.svg")
        self.assertEqual(code, FAILED)
        self.assertIn("--svg /nowhere/ring.svg cannot be written: No such file or directory", err)

    def test_picture_of_too_many_ranks(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tree.svg")
            code, _, err = kolo("plan", "--algorithm", "double-tree", "--ranks", "65", "--svg", path)
            self.assertEqual(code, FAILED)
            self.assertIn("65 ranks are too many for a picture: at most 64", err)
            self.assertFalse(os.path.exists(path))


class Wrong(unittest.TestCase):
    """Every refusal says what is wrong and, where there is a choice, what would be right."""

    CASES = [
        (["--collective", "all-redcue"], "--collective all-redcue is none of: all-reduce, reduce-scatter"),
        (["--algorithm", "rng"], 'no algorithm "rng" for all-reduce; there is: ring'),
        (["--collective", "barrier", "--algorithm", "ring"], 'no algorithm "ring" for barrier; there is: dissemination'),
        (["--ranks", "0"], "--ranks 0 is not a whole number from 1 to 16384"),
        (["--ranks", "many"], "--ranks many"),
        (["--root", "1"], "--root has no meaning for all-reduce"),
        (["--collective", "reduce", "--root", "8"], "--root 8 is none of 8 ranks"),
        (["--algorithm", "ring", "--rank", "8"], "--rank 8 is none of 8 ranks"),
        (["--rank", "1"], "name it with --algorithm"),
        (["--svg", "x.svg"], "name it with --algorithm"),
        (["--bytes", "64X"], "--bytes 64X"),
        (["--rate", "25"], "--rate 25 is not a rate above 0 (for example 25Gbit"),
        (["--rate", "0Gbit"], "--rate 0Gbit"),
        (["--port-rate", "fast"], "--port-rate fast"),
        (["--reduce-rate", "-3GB"], "--reduce-rate -3GB"),
        (["--latency", "5"], "--latency 5 is not a time (for example 200ns, 5us"),
        (["--overhead", "-1us"], "--overhead -1us"),
        (["--frobnicate"], "--frobnicate"),
        (["--ranks"], "--ranks needs a value"),
        (["ring"], '"ring" is not understood'),
    ]

    def test_what_has_no_meaning_is_refused(self):
        for words, why in self.CASES:
            with self.subTest(words=words):
                code, out, err = kolo("plan", *words)
                self.assertEqual((code, out), (USAGE, ""))
                self.assertTrue(err.startswith("kolo plan: "), err)
                self.assertIn(why, err)
                self.assertIn("See: kolo plan --help", err)

    def test_too_many_ranks_for_an_algorithm(self):
        code, _, err = kolo("plan", "--algorithm", "direct", "--ranks", "16384")
        self.assertEqual(code, USAGE)
        self.assertRegex(err, r"all-reduce by direct is for at most \d+ ranks, not 16384")

    def test_help(self):
        out = plan("--help")
        for option in ("--collective", "--algorithm", "--ranks", "--root", "--rank", "--bytes", "--rate", "--port-rate",
                       "--latency", "--overhead", "--reduce-rate", "--svg", "--full", "--no-proof", "--list"):
            self.assertIn(option, out)


if __name__ == "__main__":
    unittest.main()
