"""`kolo doctor`, as a user runs it: on this host, and between two hosts made of network namespaces, with firewalls and switches that
are in the way. Usage: doctor_test.py KOLO"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import hosts

KOLO = os.path.abspath(sys.argv.pop(1))
PORT = "4777"
NAMESPACES = hosts.works()
NO_NAMESPACES = "network namespaces need root and iproute2, and do not work in every container"


def doctor(*words):
    done = subprocess.run([KOLO, "doctor", *words], capture_output=True, text=True, timeout=hosts.LIMIT_S, check=False)
    return done.returncode, done.stdout, done.stderr


class OneHost(unittest.TestCase):
    def test_report_and_document_agree_with_the_exit_code(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "doctor.json")
            code, out, err = doctor("--verbose", "--json", path)
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        self.assertEqual(err, "")
        findings = document["findings"]
        severities = {finding["severity"] for finding in findings}
        self.assertLessEqual(severities, {"ok", "note", "warning", "error"})
        self.assertEqual(code, 1 if severities & {"warning", "error"} else 0)
        self.assertIn(document["worst"], severities)
        for finding in findings:
            self.assertIn(finding["seen"], out)
            if finding["severity"] != "ok":
                self.assertIn(finding["why"], out)
        checks = {finding["check"] for finding in findings}
        self.assertLessEqual({"addresses", "subnets", "bridges", "host name", "memfd", "/dev/shm", "provider"}, checks)

    def test_quiet_about_what_is_fine(self):
        _, out, _ = doctor()
        self.assertIsNone(re.search(r"^ok ", out, re.M))
        self.assertRegex(out, r"\d+ errors?, \d+ warnings?, \d+ notes?; \d+ things are fine")

    def test_selection_that_names_nothing(self):
        environment = dict(os.environ, KOLO_INTERFACES="nothing7")
        done = subprocess.run([KOLO, "doctor"], capture_output=True, text=True, timeout=hosts.LIMIT_S, check=False,
                              env=environment)
        self.assertEqual(done.returncode, 1)
        self.assertIn("KOLO_INTERFACES=nothing7 selects nothing", done.stdout)

    def test_wrong_command_lines(self):
        for words in (["a", "b"], ["--serve", "a"], ["--port", "0", "a"], ["--port", "70000"], ["--timeout", "0", "a"], [""],
                      ["a:b"], ["--nonsense"]):
            with self.subTest(words=words):
                code, out, err = doctor(*words)
                self.assertEqual(code, 2, err)
                self.assertEqual(out, "")
                self.assertIn("kolo doctor", err)

    def test_help(self):
        code, out, _ = doctor("--help")
        self.assertEqual(code, 0)
        self.assertIn("--serve", out)

    def test_document_that_cannot_be_written(self):
        code, _, err = doctor("--json", "/nowhere/doctor.json")
        self.assertEqual(code, 1)
        self.assertIn("/nowhere/doctor.json: No such file or directory", err)

    def test_a_name_that_does_not_resolve(self):
        code, out, _ = doctor("no-such-host.invalid")
        self.assertEqual(code, 1)
        self.assertRegex(out, r"error +peer name +no-such-host.invalid has no address")


@unittest.skipUnless(NAMESPACES, NO_NAMESPACES)
class TwoHosts(unittest.TestCase):
    def examine(self, pair, *words):
        """`kolo doctor` on host 0 of host 1; every finding about the peer as {check: "severity: seen"}."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "doctor.json")
            pair.on(0, KOLO, "doctor", f"{pair.addresses[1]}:{PORT}", "--timeout", "0.7", "--json", path, *words, check=False)
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        self.assertEqual(document["peer"], pair.addresses[1])
        return {finding["check"]: finding["severity"] + ": " + finding["seen"] + " | " + str(finding["why"])
                for finding in document["findings"] if finding["check"].startswith("peer")}

    def firewall(self, pair, host, *rules):
        """Rules of the chain that sees what comes in."""
        text = "table inet t { chain c { type filter hook input priority 0; " + "; ".join(rules) + "; }; }"
        try:
            done = pair.on(host, "nft", text, check=False)
        except FileNotFoundError:
            self.skipTest("nft is not installed")
        if done.returncode != 0:
            self.skipTest("nftables does not work here: " + done.stderr.strip())

    def test_all_is_well(self):
        for server in (["doctor"], ["perf", "link"], ["perf", "mesh"]):
            with self.subTest(server=server), hosts.Hosts(2) as pair:
                pair.serve(1, KOLO, *server, "--serve", "--port", PORT)
                found = self.examine(pair)
                self.assertRegex(found["peer port"], "^ok: .*answers at 10.92.0.2:4777")
                self.assertRegex(found["peer call back"], "^ok")
                self.assertRegex(found["peer large"], "^ok")
                self.assertRegex(found["peer mtu"], "^ok: eth0 and eth0 both have an MTU of 1500")

    def test_nothing_listens(self):
        with hosts.Hosts(2) as pair:
            found = self.examine(pair)
            self.assertRegex(found["peer port"], "^error: .* refuses the connection .*nothing listens")

    def test_nobody_is_there(self):
        with hosts.Hosts(2) as pair:
            pair.on(1, "ip", "link", "set", "eth0", "down")
            found = self.examine(pair)
            self.assertRegex(found["peer port"], "^error: .*(cannot be reached|does not answer)")

    def test_firewall_that_drops(self):
        with hosts.Hosts(2) as pair:
            pair.serve(1, KOLO, "doctor", "--serve", "--port", PORT)
            self.firewall(pair, 1, f"tcp dport {PORT} drop")
            found = self.examine(pair)
            self.assertRegex(found["peer port"], "^error: .*does not answer within 0.7 s, though the host answers elsewhere"
                                                 ".*firewall drops")

    def test_firewall_that_rejects(self):
        with hosts.Hosts(2) as pair:
            pair.serve(1, KOLO, "doctor", "--serve", "--port", PORT)
            self.firewall(pair, 1, f"tcp dport {PORT} reject with icmpx admin-prohibited")
            found = self.examine(pair)
            self.assertRegex(found["peer port"], "^error: .*cannot be reached.*firewall")

    def test_own_firewall_drops_the_call_back(self):
        with hosts.Hosts(2) as pair:
            pair.serve(1, KOLO, "doctor", "--serve", "--port", PORT)
            self.firewall(pair, 0, "ct state established accept", "tcp flags syn drop")
            found = self.examine(pair)
            self.assertRegex(found["peer port"], "^ok")
            self.assertRegex(found["peer call back"], "^error: .*gets no answer.*firewall")
            self.assertRegex(found["peer large"], "^ok")

    def test_own_firewall_rejects_the_call_back(self):
        with hosts.Hosts(2) as pair:
            pair.serve(1, KOLO, "doctor", "--serve", "--port", PORT)
            self.firewall(pair, 0, "ct state established accept", "tcp flags syn reject with tcp reset")
            found = self.examine(pair)
            self.assertRegex(found["peer call back"], "^error: .*is refused")

    def test_something_else_listens(self):
        with hosts.Hosts(2) as pair:
            echo = f"import socket; s = socket.create_server(('', {PORT})); print('serving on port', flush=True); s.accept()[0].recv(9)"
            pair.serve(1, sys.executable, "-c", echo)
            found = self.examine(pair)
            self.assertRegex(found["peer port"], "^error: .*takes the connection, but.*something else listens")

    def test_ends_with_different_mtu(self):
        with hosts.Hosts(2) as pair:
            pair.on(1, "ip", "link", "set", "dev", "eth0", "mtu", "1400")
            pair.serve(1, KOLO, "doctor", "--serve", "--port", PORT)
            found = self.examine(pair)
            self.assertRegex(found["peer mtu"], "^warning: eth0 has an MTU of 1500 here, eth0 on .* has 1400")

    def test_a_switch_that_drops_large_packets(self):
        with hosts.Hosts(2, mtu=9000) as pair:
            pair.on_bridge("ip", "link", "set", "dev", "p1", "mtu", "1500")
            for host in (0, 1):  # whole packets, as on a wire, not what the kernel would cut up later
                pair.on(host, "ip", "link", "set", "dev", "eth0", "gso_max_segs", "1")
            pair.serve(1, KOLO, "doctor", "--serve", "--port", PORT)
            found = self.examine(pair)
            self.assertRegex(found["peer mtu"], "^ok")
            self.assertRegex(found["peer large"], "^error: small messages pass, but large ones .*drops large packets")


if __name__ == "__main__":
    unittest.main(verbosity=2)
