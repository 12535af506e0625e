"""What a benchmark says: tables as it goes, and one document of everything at the end."""
import json
import os
import platform

KIB, MIB = 1 << 10, 1 << 20


def text_of_bytes(size):
    for unit, letter in ((MIB, "M"), (KIB, "K")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {letter}iB"
    return f"{size} B"


def mark(passed, passed_by_mean):
    text = {True: "pass", False: "MISS", None: ""}[passed]
    return text if passed_by_mean in (None, passed) else f"{text} (by means: {mark(passed_by_mean, None)})"


class Report:
    """Prints as it goes, and keeps all for the document."""

    def __init__(self):
        self.groups, self.misses, self.misses_by_mean = [], 0, 0
        self.host = {"name": platform.node(), "release": platform.release(), "machine": platform.machine(),
                     "processors": len(os.sched_getaffinity(0)), "load": os.getloadavg()}
        load = self.host["load"][0]
        print(f"{self.host['name']}: {self.host['processors']} processors, load {load:.2f}"
              + (" (something else is running: do not trust the figures)" if load > 0.3 else ""))

    def begin(self, name, title):
        print(f"\n{title}", flush=True)
        self.groups.append({"name": name, "title": title, "rows": []})

    def skip(self, why):
        print(f"  not measured: {why}")
        self.groups[-1]["skipped"] = why

    def fail(self, why):
        print(f"  failed: {why}")
        self.groups[-1]["failed"] = str(why)
        self.misses += 1
        self.misses_by_mean += 1

    def row(self, text, passed, passed_by_mean=None, **figures):
        """passed_by_mean: where calls are timed, whether the target is met by their mean as well as by their median."""
        self.misses += passed is False
        self.misses_by_mean += (passed if passed_by_mean is None else passed_by_mean) is False
        self.groups[-1]["rows"].append({**figures, "passed": passed, "passed_by_mean": passed_by_mean})
        print(f"  {text}  {mark(passed, passed_by_mean)}", flush=True)

    def write(self, path, repeats):
        """All of it as one JSON document, which is there completely or not at all."""
        document = {"host": self.host, "repeats": repeats, "groups": self.groups, "misses": self.misses}
        beside = f"{path}.{os.getpid()}"
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
        os.replace(beside, path)

    def end(self, smoke=False):
        """Print how many targets were missed; the exit status. In a smoke run targets do not count."""
        failed = any("failed" in group for group in self.groups)
        by_mean = f"; {self.misses_by_mean} by the mean of the calls" if self.misses_by_mean != self.misses else ""
        print(f"\n{self.misses} targets missed{by_mean}")
        return 1 if failed or (self.misses and not smoke) else 0
