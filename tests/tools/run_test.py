"""`kolo run` as a user meets it: real processes, pipes, terminals, signals. Usage: run_test.py KOLO"""
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

KOLO = os.path.abspath(sys.argv.pop(1))
LIMIT_S = 20

# ssh as kolo sees it: options, a host, and one text for a shell over there, in a session and an environment of its own.
FAKE_SSH = """#!/bin/sh
while [ "$1" = -o ]; do shift 2; done
shift
setsid env -i PATH="$PATH" sh -c "$*"
exit $?
"""


class Launcher(subprocess.Popen):
    """`kolo run`, which a test that fails does not leave behind."""

    def __exit__(self, *why):
        if self.poll() is None:
            self.kill()
        super().__exit__(*why)


def start(*words, **options):
    """Start `kolo run WORDS...`, its streams being pipes."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return Launcher([KOLO, "run", *words], **{**streams, **options})


def run(*words, text=None, **options):
    """Run it to its end. Returns (exit code, output, errors)."""
    if text is not None:
        options["stdin"] = subprocess.PIPE
    with start(*words, **options) as launcher:
        out, err = launcher.communicate(text, timeout=LIMIT_S)
    return launcher.returncode, out, err


def wait_until(condition, what):
    """The bounded wait for what has no event to wait for."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("in vain: " + what)
        time.sleep(0.005)


def state_of(pid):
    """The letter of /proc/PID/stat; X if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def lives(pid):
    return state_of(pid) not in "ZX"


class Output(unittest.TestCase):
    def test_every_line_has_its_rank(self):
        code, out, err = run("-n", "3", "sh", "-c", "echo one; echo two; echo bad >&2")
        self.assertEqual(code, 0)
        self.assertEqual(sorted(out.splitlines()), [f"[{r}] {t}" for r in range(3) for t in ("one", "two")])
        self.assertEqual(sorted(err.splitlines()), [f"[{r}] bad" for r in range(3)])

    def test_ranks_are_aligned(self):
        _, out, _ = run("-n", "11", "echo", "x")
        self.assertEqual(sorted(out.splitlines()), sorted(f"[{r:2}] x" for r in range(11)))

    def test_a_last_line_without_end_is_not_lost(self):
        _, out, _ = run("-n", "2", "printf", "a\nb")
        self.assertEqual(sorted(out.splitlines()), ["[0] a", "[0] b", "[1] a", "[1] b"])

    def test_carriage_returns_pass(self):
        _, out, _ = run("-n", "1", "printf", "10%%\r20%%\rdone\r\n", text=None, stdout=subprocess.PIPE)
        self.assertEqual(out, "[0] 10%\n[0] 20%\n[0] done\n")  # Python reads each end as \n

    def test_lines_of_busy_peers_do_not_mix(self):
        script = "i=0; while [ $i -lt 3000 ]; do echo $KOLO_RANK-$KOLO_RANK-$KOLO_RANK; i=$((i+1)); done"
        _, out, _ = run("-n", "4", "sh", "-c", script)
        lines = out.splitlines()
        self.assertEqual(len(lines), 12000)
        self.assertEqual(set(lines), {f"[{r}] {r}-{r}-{r}" for r in range(4)})

    def test_a_line_without_end_is_cut_and_complete(self):
        _, out, _ = run("-n", "1", "head", "-c", "200000", "/dev/zero")
        self.assertEqual(out.count("\0"), 200000)
        self.assertEqual(len(out.splitlines()), 4)

    def test_no_prefix(self):
        code, out, _ = run("-n", "2", "--no-prefix", "echo", "x")
        self.assertEqual((code, out), (0, "x\nx\n"))

    def test_nobody_reads(self):
        with start("-n", "2", "yes") as launcher:
            launcher.stdout.readline()
            launcher.stdout.close()
            self.assertEqual(launcher.wait(LIMIT_S), 128 + signal.SIGTERM)
            launcher.stderr.read()


class Environment(unittest.TestCase):
    def test_peers_know_who_they_are(self):
        script = 'echo $KOLO_RANK $KOLO_SIZE $KOLO_LOCAL_RANK $KOLO_RUN_ID $KOLO_PEERS "$KOLO_PORT" "$KOLO_LAUNCHER"'
        stale = dict(os.environ, KOLO_PORT="1", KOLO_RANK="7", KOLO_LAUNCHER="slurm")
        _, out, _ = run("-n", "2", "sh", "-c", script, env=stale)
        peers = [line.split()[1:] for line in sorted(out.splitlines())]
        self.assertEqual([peer[:3] for peer in peers], [["0", "2", "0"], ["1", "2", "1"]])
        self.assertEqual(peers[0][3:], peers[1][3:])
        self.assertRegex(" ".join(peers[0][3:]), r"^[0-9a-f]{32} file:/\S+$")
        _, again, _ = run("-n", "1", "sh", "-c", script)
        self.assertNotEqual(again.split()[4], peers[0][3], "a run id came twice")

    def test_the_folder_is_private_and_removed(self):
        script = 'f=${KOLO_PEERS#file:}; stat -c "%a %n" $f; touch $f/left-behind'
        _, out, _ = run("-n", "2", "sh", "-c", script)
        _, mode, folder = out.splitlines()[0].split()
        self.assertEqual(mode, "700")
        self.assertFalse(os.path.exists(folder))

    def test_variables(self):
        code, out, _ = run("-n", "1", "--env", "A=b c", "sh", "-c", 'echo "$A"')
        self.assertEqual((code, out), (0, "[0] b c\n"))

    def test_standard_input_is_rank_0s(self):
        _, out, _ = run("-n", "2", "cat", text="hello\n")
        self.assertEqual(out, "[0] hello\n")

    def test_bind_one_core(self):
        _, out, _ = run("-n", "1", "--bind", "core", "nproc")
        self.assertIn(out, ("[0] 1\n", "[0] 2\n"))  # 2: a core with two hardware threads

    def test_bind_shares_cores_evenly(self):
        cores = len(os.sched_getaffinity(0))
        command = "grep Cpus_allowed_list /proc/self/status"
        _, out, _ = run("-n", str(2 * cores), "--bind", "share", "sh", "-c", command)
        places = [line.split()[-1] for line in out.splitlines()]
        self.assertEqual(len(places), 2 * cores)
        counts = {places.count(place) for place in places}
        self.assertEqual(len(counts), 1, out)


class Ends(unittest.TestCase):
    def test_all_well(self):
        self.assertEqual(run("-n", "2", "true"), (0, "", ""))

    def test_verbose_tells_all(self):
        code, _, err = run("-n", "2", "-v", "true")
        self.assertEqual(code, 0)
        self.assertRegex(err, r"rank 0 \(pid \d+\) ended with exit code 0 after [\d.]+ s: .* MiB of memory\n.*rank 1")

    def test_the_first_failure_is_the_exit_code(self):
        code, _, err = run("-n", "3", "--grace", "0", "sh", "-c", "[ $KOLO_RANK != 1 ] || exit 7; exec sleep 60")
        self.assertEqual(code, 7)
        self.assertIn("rank 1 (pid", err)
        self.assertIn("3 of 3 peers failed, rank 1 first", err)
        self.assertIn("rank 0 (pid", err)

    def test_killed_by_a_signal(self):
        code, _, err = run("-n", "2", "sh", "-c", "[ $KOLO_RANK = 0 ] || kill -9 $$")
        self.assertEqual(code, 128 + 9)
        self.assertIn("was killed by SIGKILL", err)
        self.assertIn("1 of 2 peers failed", err)

    def test_others_may_go_on(self):
        code, out, _ = run("-n", "2", "--on-failure", "wait", "--grace", "0.01", "sh", "-c",
                           "[ $KOLO_RANK = 1 ] && exit 3; sleep 0.3; echo done")
        self.assertEqual((code, out), (3, "[0] done\n"))

    def test_who_ignores_term_is_killed(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="kolo-run-"))
        os.mkfifo(folder + "/deaf")  # rank 1 fails when rank 0 has its trap, not before
        script = ("trap '' TERM; [ $KOLO_RANK = 1 ] && read line <deaf && exit 3; "
                  "echo now >deaf; while :; do sleep 0.05; done")
        code, _, err = run("-n", "2", "--grace", "0", "sh", "-c", script, cwd=folder)
        self.assertEqual(code, 3)
        self.assertRegex(err, r"rank 0 \(pid \d+\) was killed by SIGKILL")

    def test_no_such_command(self):
        code, _, err = run("-n", "4", "no-such-command")
        self.assertEqual(code, 127)
        self.assertEqual(err, "kolo run: cannot start no-such-command: No such file or directory\n")
        self.assertEqual(run("-n", "2", "/etc/passwd")[0], 126)

    def test_what_peers_leave_behind_is_ended(self):
        code, out, _ = run("-n", "2", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
        self.assertEqual(code, 0)
        for line in out.splitlines():
            wait_until(lambda pid=line.split()[1]: not lives(pid), "the end of " + line)


class Signals(unittest.TestCase):
    TRAPS = "for s in INT TERM HUP USR1 USR2; do trap \"echo got $s\" $s; done; trap 'echo end; exit 0' USR2; "
    LOOP = "echo ready; while :; do sleep 0.02; done"

    def start_ready(self, script, peers=2, options=()):
        launcher = self.enterContext(start("-n", str(peers), *options, "sh", "-c", script))
        for _ in range(peers):
            self.assertIn("ready", launcher.stdout.readline())
        return launcher

    def test_are_passed_on(self):
        launcher = self.start_ready(self.TRAPS + self.LOOP)
        for name in ("HUP", "USR1", "INT"):
            launcher.send_signal(getattr(signal, "SIG" + name))
            lines = sorted(launcher.stdout.readline() for _ in range(2))
            self.assertEqual(lines, [f"[0] got {name}\n", f"[1] got {name}\n"])
        launcher.send_signal(signal.SIGUSR2)
        self.assertEqual(launcher.wait(LIMIT_S), 0)

    def test_reach_a_peer_with_a_group_of_its_own(self):
        launcher = self.start_ready("exec setsid -w sh -c '" + "echo ready; exec sleep 60'", peers=1)
        launcher.send_signal(signal.SIGTERM)
        self.assertEqual(launcher.wait(LIMIT_S), 128 + signal.SIGTERM)

    def test_a_second_interrupt_kills(self):
        launcher = self.start_ready("trap 'echo ready' INT; " + self.LOOP)
        launcher.send_signal(signal.SIGINT)
        self.assertIn("ready", launcher.stdout.readline())
        launcher.send_signal(signal.SIGINT)
        self.assertEqual(launcher.wait(LIMIT_S), 128 + signal.SIGKILL)

    def test_the_peers_end_is_the_exit_code(self):
        launcher = self.start_ready("echo ready; exec sleep 60")
        launcher.send_signal(signal.SIGINT)
        self.assertEqual(launcher.wait(LIMIT_S), 128 + signal.SIGINT)

    def test_a_killed_launcher_leaves_nothing(self):
        launcher = self.enterContext(start("-n", "3", "sh", "-c", "echo $$ $KOLO_PEERS; sleep 60 & echo $! .; wait"))
        lines = [launcher.stdout.readline().split() for _ in range(6)]
        launcher.kill()
        launcher.wait(LIMIT_S)
        for _, pid, _ in lines:
            wait_until(lambda pid=pid: not lives(pid), "the end of " + pid)
        folder = next(line[2] for line in lines if line[2] != ".")[len("file:"):]
        wait_until(lambda: not os.path.exists(folder), "the removal of the folder")

    def test_stop_and_continue(self):
        script = "echo $$; read line; echo got $line"
        launcher = self.enterContext(start("-n", "1", "sh", "-c", script, stdin=subprocess.PIPE))
        peer = launcher.stdout.readline().split()[1]
        launcher.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, launcher.pid, os.WSTOPPED)
        wait_until(lambda: state_of(peer) == "T", "the peer's stop")
        launcher.send_signal(signal.SIGCONT)
        out, _ = launcher.communicate("x\n", timeout=LIMIT_S)
        self.assertEqual((launcher.returncode, out), (0, "[0] got x\n"))


class Terminal(unittest.TestCase):
    """On a terminal: colours, and what is typed goes to rank 0."""

    def fork_on_terminal(self):
        try:
            return pty.fork()
        except OSError as error:
            return self.skipTest(f"no terminals here: {error}")

    def read_until(self, terminal, text):
        seen = b""
        while text not in seen:
            ready, _, _ = select.select([terminal], [], [], LIMIT_S)
            self.assertTrue(ready, f"{text!r} did not come; {seen!r} did")
            try:
                seen += os.read(terminal, 4096)
            except OSError:  # the end of the last process on it
                break
        return seen

    def test_typing_and_colours(self):
        pid, terminal = self.fork_on_terminal()
        if pid == 0:
            os.environ.pop("NO_COLOR", None)
            os.execv(KOLO, [KOLO, "run", "-n", "2", "sh", "-c",
                            "echo ready; [ $KOLO_RANK = 1 ] || { read a; echo \"<$a>\"; read b; echo \"end:$?\"; }"])
        self.read_until(terminal, b"\x1b[31m[0]\x1b[0m ready")
        os.write(terminal, b"typed\n")
        self.read_until(terminal, b"\x1b[31m[0]\x1b[0m <typed>")
        os.write(terminal, b"\x04")  # the end of the input
        self.read_until(terminal, b"end:1")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        os.close(terminal)

    def test_interrupt_key(self):
        pid, terminal = self.fork_on_terminal()
        if pid == 0:
            os.execv(KOLO, [KOLO, "run", "-n", "2", "sh", "-c", "trap 'echo once; exit 9' INT; echo ready; while :; do sleep 0.02; done"])
        self.read_until(terminal, b"ready")
        os.write(terminal, b"\x03")
        seen = self.read_until(terminal, b"peers failed")
        self.assertLessEqual(seen.count(b"once"), 2)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.assertIn(code, (9, 130))  # 130: interrupted before its trap stood
        os.close(terminal)


class Ssh(unittest.TestCase):
    AWKWARD = ["a b", "c'd", '"e"', "$HOME `id` $(id)", "", "*", "back\\slash", "new\nline", "!!", "-n", "~", "ünï", "a=b"]

    TWO_PROCESSES = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
child = subprocess.Popen(["sleep", "60"])
print(__import__("os").getpid(), child.pid, flush=True)
child.wait()
"""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kolo run 'ssh' ")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        # --ssh is split at spaces, so the program has none in its name
        handle, self.ssh = tempfile.mkstemp(prefix="kolo-ssh-")
        self.addCleanup(os.unlink, self.ssh)
        os.write(handle, FAKE_SSH.encode())
        os.close(handle)
        os.chmod(self.ssh, 0o700)

    def over_ssh(self, *words, **options):
        return run("--ssh", self.ssh + " -o Port=2222", "--hosts", *words, **options)

    def test_arguments_arrive_as_they_are(self):
        show = "import sys; print(sys.argv[1:])"
        code, out, err = self.over_ssh("a,b", sys.executable, "-c", show, *self.AWKWARD)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(sorted(out.splitlines()), [f"[{rank}] {self.AWKWARD}" for rank in range(2)])

    def test_variables_arrive_as_they_are(self):
        show = "import os; print([os.environ.get(n) for n in ('KOLO_X', 'Y', 'Z', 'SECRET')])"
        here = dict(os.environ, KOLO_X="k 'x'", Y="y $HOME", SECRET="no")
        _, out, _ = self.over_ssh("a", "--env", "Y", "--env", "Z=z;z", sys.executable, "-c", show, env=here)
        self.assertEqual(out, "[0] " + str(["k 'x'", "y $HOME", "z;z", None]) + "\n")

    def test_same_folder(self):
        _, out, _ = self.over_ssh("a", "pwd", cwd=self.folder)
        self.assertEqual(out, f"[0] {os.path.realpath(self.folder)}\n")

    def test_who_is_who(self):
        script = 'echo $KOLO_RANK $KOLO_SIZE $KOLO_LOCAL_RANK $KOLO_PEERS ${KOLO_PORT:-any}'
        _, out, _ = self.over_ssh("a,me@b:2,[::1]:2", "-n", "4", "--port", "4242", "sh", "-c", script)
        contacts = "a:4242,b:4242,[::1]:4242"
        self.assertEqual(sorted(out.splitlines()), [f"[0] 0 4 0 {contacts} 4242", f"[1] 1 4 0 {contacts} 4242",
                                                    f"[2] 2 4 1 {contacts} any", f"[3] 3 4 0 {contacts} 4242"])

    def test_ends(self):
        code, _, err = self.over_ssh("a,b", "--grace", "0", "sh", "-c", "[ $KOLO_RANK = 0 ] && exit 5; exec sleep 60")
        self.assertEqual(code, 5)
        self.assertIn("rank 0 on a ended with exit code 5", err)
        self.assertIn("rank 1 on b ended with exit code 143", err)

    def test_signals_are_passed_on(self):
        for name in ("INT", "TERM", "HUP", "USR1", "USR2"):
            number = getattr(signal, "SIG" + name)
            script = f"trap 'echo got {name}; exit 0' {name}; echo ready; while :; do sleep 0.02; done"
            with start("--ssh", self.ssh, "--hosts", "a,b", "sh", "-c", script) as launcher:
                ready = [launcher.stdout.readline() for _ in range(2)]
                self.assertEqual([line[4:] for line in ready], ["ready\n"] * 2)
                launcher.send_signal(number)
                out, _ = launcher.communicate(timeout=LIMIT_S)
                self.assertEqual((launcher.returncode, sorted(out.splitlines())), (0, [f"[0] got {name}", f"[1] got {name}"]))

    def test_nothing_is_left_behind(self):
        for end in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with start("--ssh", self.ssh, "--hosts", "a,b", sys.executable, "-c", self.TWO_PROCESSES) as launcher:
                pids = [pid for _ in range(2) for pid in launcher.stdout.readline().split()[1:]]
                self.assertEqual(len(pids), 4)
                launcher.send_signal(end)
                for pid in pids:
                    wait_until(lambda pid=pid: not lives(pid), "the end of " + pid)
                launcher.communicate(timeout=LIMIT_S)
                self.assertEqual(launcher.returncode, 128 + end if end != signal.SIGKILL else -end)

    def test_the_command_has_no_children_but_its_own(self):
        show = "import os\ntry: print(os.wait())\nexcept ChildProcessError: print('none')"
        self.assertEqual(self.over_ssh("a", sys.executable, "-c", show)[1], "[0] none\n")

    def test_no_ssh(self):
        code, _, err = run("--ssh", "no-such-ssh", "--hosts", "a", "true")
        self.assertEqual(code, 127)
        self.assertIn("cannot start no-such-ssh", err)


class CommandLine(unittest.TestCase):
    def test_refusals_say_what_is_wrong(self):
        refusals = {
            ("true",): "how many peers? Give -n PEERS, or --hosts",
            ("-n", "2"): "there is no command to run",
            ("-n", "0", "true"): "--peers 0 is not a whole number from 1 to 4096",
            ("-n", "4097", "true"): "--peers 4097 is not",
            ("-n",): "-n needs a value",
            ("--nosuch", "true"): "there is no option --nosuch",
            ("-n", "2", "--grace", "-1", "true"): "--grace -1 is not a number above 0",
            ("-n", "2", "--on-failure", "x", "true"): "--on-failure x is none of: wait, kill",
            ("-n", "2", "--bind", "x", "true"): "--bind x is none of: none, core, share",
            ("-n", "4096", "--bind", "core", "true"): "but this process may use",
            ("-n", "2", "--port", "1", "true"): "--port and --ssh are for --hosts",
            ("-n", "2", "--env", "=x", "true"): '--env "=x" names no variable',
            ("--hosts", "a,,b", "true"): '"" is not a host',
            ("-n", "3", "--hosts", "a:2", "true"): "3 peers, but --hosts has 2 places",
            ("--hosts", "a", "--bind", "core", "true"): "--bind is for this machine only",
        }
        for words, text in refusals.items():
            with self.subTest(words=words):
                code, out, err = run(*words)
                self.assertEqual((code, out), (2, ""))
                self.assertIn(text, err)
                self.assertIn("kolo run --help", err)

    def test_help(self):
        code, out, _ = run("--help")
        self.assertEqual(code, 0)
        for option in ("--hosts", "--on-failure", "--no-prefix", "--bind", "--env"):
            self.assertIn(option, out)
        self.assertTrue(all(len(line) <= 120 for line in out.splitlines()))

    def test_options_of_the_command_are_its_own(self):
        _, out, _ = run("-n", "1", "echo", "-n", "5", "--help")
        self.assertRegex(out, re.compile(r"^\[0\] "))


if __name__ == "__main__":
    unittest.main()
