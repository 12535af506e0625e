"""`kolo perf` between real peers: the table, the document, the exit codes. Usage: perf_test.py KOLO"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

KOLO = os.path.abspath(sys.argv.pop(1))
LIMIT_S = 60
COLLECTIVES = ["all-reduce", "reduce-scatter", "all-gather", "broadcast", "reduce"]


def run(peers, *words):
    """`kolo perf WORDS...` on so many peers, to its end. Returns (exit code, output, errors)."""
    command = [KOLO, "run", "-n", str(peers), "--no-prefix", KOLO, "perf", *words] if peers else [KOLO, "perf", *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return done.returncode, done.stdout, done.stderr


def rows(output):
    """The lines of the table, as lists of fields."""
    return [line.split() for line in output.splitlines() if line and not line.startswith("#")]


class Perf(unittest.TestCase):
    def measure(self, peers, *words):
        code, out, err = run(peers, *words)
        self.assertEqual(code, 0, out + err)
        return out

    def test_columns_are_those_of_nccl_tests_and_more(self):
        out = self.measure(2, "all-reduce", "-b", "8", "-e", "4K", "-f", "8", "-n", "5")
        table = rows(out)
        self.assertEqual([int(row[0]) for row in table], [8, 64, 512, 4096])
        for row in table:
            self.assertEqual(len(row), 17)
            self.assertEqual(int(row[1]) * 4, int(row[0]))
            self.assertEqual(row[2:5], ["f32", "sum", "-1"])
            self.assertEqual([row[8], row[12]], ["0", "0"])
            self.assertGreater(float(row[5]), 0)
        self.assertIn("# Out of bounds values : 0 OK", out)
        self.assertIn("# Avg bus bandwidth", out)

    def test_every_collective_type_and_operator_is_right(self):
        for collective in COLLECTIVES:
            with self.subTest(collective):
                out = self.measure(3, collective, "-b", "4", "-e", "40004", "-i", "20000", "-n", "2", "-d", "all",
                                   "-o", "all", "-r", "2")
                reduces = collective in ("all-reduce", "reduce-scatter", "reduce")
                self.assertEqual(len(rows(out)), 3 * 10 * (5 if reduces else 1))
                self.assertIn("# Out of bounds values : 0 OK", out)

    def test_barrier_has_a_time_and_no_size(self):
        table = rows(self.measure(2, "barrier", "-n", "20"))
        self.assertEqual(len(table), 1)
        self.assertEqual(table[0][:5], ["0", "0", "none", "none", "-1"])
        self.assertGreater(float(table[0][5]), 0)

    def test_queue_and_shareable_memory(self):
        self.measure(2, "all-reduce", "-b", "64", "-e", "64K", "-f", "1024", "-n", "4", "-q", "3", "--memory", "kolo")

    def test_document(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "perf.json")
            self.measure(2, "all-gather", "-b", "1K", "-e", "4K", "-n", "10", "--json", path)
            self.assertEqual(os.listdir(folder), ["perf.json"])
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        self.assertEqual(document["configuration"]["collective"], "all-gather")
        self.assertEqual(document["configuration"]["ranks"], 2)
        self.assertEqual(len(document["peers"]), 2)
        self.assertGreater(document["host"]["processors_online"], 0)
        self.assertEqual(document["wrong"], 0)
        self.assertEqual([result["bytes"] for result in document["results"]], [1024, 2048, 4096])
        for result in document["results"]:
            for placement in ("out_of_place", "in_place"):
                timing = result[placement]
                self.assertEqual(timing["calls"], 10)
                self.assertEqual(timing["wrong"], 0)
                self.assertLessEqual(timing["min_us"], timing["median_us"])
                self.assertLessEqual(timing["median_us"], timing["p99_us"])
                self.assertLessEqual(timing["p99_us"], timing["max_us"])
                # all-gather: S the whole array, bus bandwidth (n-1)/n of it (nccl-tests, PERFORMANCE.md)
                self.assertAlmostEqual(timing["algbw_GBps"], result["bytes"] / timing["mean_us"] / 1e3, places=5)
                self.assertAlmostEqual(timing["busbw_GBps"], timing["algbw_GBps"] / 2, places=5)

    def test_document_that_cannot_be_written(self):
        code, _, err = run(1, "all-reduce", "-e", "8", "-n", "1", "--json", "/nowhere/perf.json")
        self.assertEqual(code, 1)
        self.assertIn("/nowhere/perf.json: No such file or directory", err)

    def test_one_peer_alone(self):
        for collective in COLLECTIVES + ["barrier"]:
            self.measure(0, collective, "-e", "1K", "-n", "2")

    def test_transport_and_algorithm_are_passed_on(self):
        out = self.measure(2, "all-reduce", "-e", "64", "-n", "2", "--transport", "tcp", "--algorithm", "ring")
        self.assertIn("transport tcp, algorithm ring", out)
        code, _, err = run(1, "all-reduce", "-e", "8", "--transport", "pigeon")
        self.assertEqual(code, 1)
        self.assertIn("pigeon", err)

    def test_wrong_command_lines(self):
        for words in ([], ["all-to-none"], ["all-reduce", "reduce"], ["all-reduce", "-b", "5X"], ["all-reduce", "-f", "1"],
                      ["all-reduce", "-b", "64", "-e", "8"], ["all-reduce", "-d", "f8"], ["all-reduce", "-o", "xor"],
                      ["all-reduce", "-c", "2"], ["all-reduce", "--nonsense"], ["broadcast", "-r", "1"],
                      ["all-reduce", "-e", "2000G"], ["all-reduce", "--memory", "cuda"]):
            with self.subTest(words=words):
                code, out, err = run(0, *words)
                self.assertEqual(code, 2, err)
                self.assertIn("kolo perf", err)
                self.assertEqual(rows(out), [])

    def test_help(self):
        code, out, _ = run(0, "--help")
        self.assertEqual(code, 0)
        self.assertIn("--minbytes", out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
