"""`kolo train` between real peers: what it learns, writes and says. Usage: train_test.py KOLO"""
import csv
import hashlib
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

KOLO = os.path.abspath(sys.argv.pop(1))
LIMIT_S = 90
SMALL = ["--hidden", "64", "--context", "8", "--embedding", "8"]


def make_text(path):
    """A text with something to learn: sentences from a small grammar, always the same."""
    dice = random.Random(3)
    things = ["the ring", "a peer", "one gradient", "every chunk", "no server"]
    deeds = ["turns", "sends", "waits for", "adds"]
    with open(path, "w", encoding="ascii") as file:
        for _ in range(2000):
            file.write(f"{dice.choice(things)} {dice.choice(deeds)} {dice.choice(things)}.\n")


def command(peers, *words):
    train = [KOLO, "train", *words]
    return [KOLO, "run", "-n", str(peers), "--no-prefix", *train] if peers else train


def run(peers, *words):
    """`kolo train WORDS...` on so many peers, to its end. Returns (exit code, output, errors)."""
    done = subprocess.run(command(peers, *words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=LIMIT_S, check=False)
    return done.returncode, done.stdout, done.stderr


class Train(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.text = self.path("text")
        make_text(self.text)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def train(self, peers, *words):
        """Train; the training losses by step, and the digest that all peers agree on."""
        code, out, err = run(peers, self.text, *words, "--csv", self.path("csv"))
        self.assertEqual(code, 0, out + err)
        digests = re.findall("^digest: ([0-9a-f]{64})$", out, re.MULTILINE)
        self.assertEqual(len(digests), max(peers, 1), out)
        self.assertEqual(len(set(digests)), 1, out)
        with open(self.path("csv"), encoding="ascii") as file:
            lines = list(csv.DictReader(file))
        return [float(line["training"]) for line in lines if line["training"]], digests[0], out, lines

    def test_two_peers_are_one_with_twice_the_batch(self):
        for layers in ("1", "2"):
            with self.subTest(layers=layers):
                words = [*SMALL, "--layers", layers, "--steps", "50", "--batch", "64", "--seed", "7"]
                one = self.train(1, *words)[0]
                two = self.train(2, *words)[0]
                halves = self.train(2, *words[:-4], "--batch-per-peer", "32", "--seed", "7")[0]
                self.assertEqual(len(one), 50)
                self.assertEqual(two, halves)
                for step, (left, right) in enumerate(zip(one, two), 1):
                    self.assertLess(abs(left - right) / left, 1e-4, f"step {step}")

    def test_it_learns_and_leaves_files(self):
        losses, digest, out, lines = self.train(4, *SMALL, "--steps", "120", "--batch", "128", "--rate", "0.005",
                                                "--save", self.path("weights"), "--svg", self.path("svg"))
        self.assertLess(losses[-1], 0.5 * losses[0])
        validation = [float(line["validation"]) for line in lines if line["validation"]]
        self.assertEqual(len(validation), 11)
        self.assertLess(validation[-1], 0.5 * validation[0])
        self.assertIn("ring: 0 -> 1 -> 2 -> 3 -> 0", out)
        self.assertRegex(out, r"step +120/120 .*MB/s .*communicating")
        self.check_weights(digest)
        drawn = xml.etree.ElementTree.parse(self.path("svg")).getroot()
        self.assertEqual(len(drawn.findall(".//{*}polyline")), 2)
        self.assertEqual(sorted(os.listdir(self.folder.name)), ["csv", "svg", "text", "weights"])

    def check_weights(self, digest):
        with open(self.path("weights"), "rb") as file:
            weights = file.read()
        magic, context, embedding, hidden, layers, count = struct.unpack_from("<8s4IQ", weights)
        self.assertEqual((magic, context, embedding, hidden, layers), (b"kololm01", 8, 8, 64, 1))
        self.assertEqual(count, 256 * 8 + (8 * 8 + 1) * 64 + (64 + 1) * 256)
        self.assertEqual(len(weights), 32 + 4 * count + 32)
        self.assertEqual(hashlib.sha256(weights[32:-32]).hexdigest(), digest)
        self.assertEqual(weights[-32:].hex(), digest)

    def test_the_same_run_twice_is_the_same_to_the_bit(self):
        words = [*SMALL, "--steps", "20", "--batch", "30"]
        self.assertEqual(self.train(3, *words)[:2], self.train(3, *words)[:2])
        self.assertNotEqual(self.train(3, *words)[1], self.train(3, *words, "--seed", "2")[1])

    def test_alone(self):
        self.train(0, *SMALL, "--steps", "5")

    def test_a_lost_peer_is_named(self):
        with subprocess.Popen([KOLO, "run", "-n", "3", "--on-failure", "wait", KOLO, "train", self.text, *SMALL,
                               "--steps", "1000000"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as launcher:
            for line in launcher.stdout:
                if "step" in line:
                    break
            victim = self.peer_of(launcher.pid, 2)
            os.kill(victim, signal.SIGKILL)
            _, err = launcher.communicate(timeout=LIMIT_S)
        self.assertNotEqual(launcher.returncode, 0)
        self.assertEqual(len(re.findall("kolo train: .*KOLO_ERR_PEER_LOST.*rank 2", err)), 2, err)
        self.assertEqual(len(re.findall("exit(?:ed)?[^\n]* 3", err)), 2, err)

    def peer_of(self, launcher, rank):
        """The process that the launcher has made rank `rank`."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ, open(f"/proc/{pid}/cmdline", "rb") as line:
                    variables, words = environ.read().split(b"\0"), line.read().split(b"\0")
            except OSError:
                continue
            if f"KOLO_RANK={rank}".encode() in variables and self.text.encode() in words:
                return int(pid)
        raise AssertionError(f"launcher {launcher} has no rank {rank}")

    def test_what_cannot_be_trained_on(self):
        short = self.path("short")
        with open(short, "w", encoding="ascii") as file:
            file.write("too short")
        for words, said in ((["/nowhere"], "No such file"), ([short], "too few"), ([self.folder.name], "regular file"),
                            ([self.text, "--batch", "100000"], "smaller --batch")):
            with self.subTest(words=words):
                code, _, err = run(0, *words)
                self.assertEqual(code, 1, err)
                self.assertIn(said, err)

    def test_files_that_cannot_be_written(self):
        for option in ("--save", "--svg", "--csv"):
            code, _, err = run(0, self.text, *SMALL, "--steps", "1", option, "/nowhere/file")
            self.assertEqual(code, 1)
            self.assertIn(f"{option} /nowhere/file: No such file", err)

    def test_wrong_command_lines(self):
        for words in ([], [self.text, self.text], [self.text, "--steps", "0"], [self.text, "--layers", "3"],
                      [self.text, "--rate", "-1"], [self.text, "--nonsense"],
                      [self.text, "--batch", "4", "--batch-per-peer", "4"]):
            with self.subTest(words=words):
                code, _, err = run(0, *words)
                self.assertEqual(code, 2, err)
                self.assertIn("kolo train", err)

    def test_a_batch_that_the_peers_cannot_share(self):
        code, _, err = run(3, self.text, "--batch", "4")
        self.assertEqual(code, 2, err)
        self.assertIn("--batch 4 cannot be shared out among 3 peers", err)

    def test_a_loss_that_runs_away(self):
        code, _, err = run(2, self.text, *SMALL, "--rate", "1000000", "--steps", "100", "--layers", "2")
        self.assertEqual(code, 1)
        self.assertEqual(len(re.findall("lower --rate", err)), 2, err)

    def test_no_blas(self):
        done = subprocess.run(command(0, self.text), env={**os.environ, "KOLO_BLAS": "libnone.so"}, capture_output=True,
                              text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("BLAS", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
