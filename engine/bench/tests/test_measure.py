"""CPU time is accounted to the right command, whoever burned it: known burners, in CPU-seconds and not in wall time."""

import os
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

import measure

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
# Leaves a server behind that burns, and then lives on without work.
SERVER = textwrap.dedent(
    """
    import os, time
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            start = time.process_time()
            while time.process_time() < start + 0.4: pass
            os.write(write, b'x')
            time.sleep(600)
        os._exit(0)
    os.wait()
    os.read(read, 1)
    """
)
MEMORY = "import time\nblock = b'x' * 150_000_000\nstart = time.process_time()\nwhile time.process_time() < start + 0.3: pass\n"


class MeasureTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        measure.adopt_orphans()
        self.addCleanup(measure.end_all)

    def run_python(self, *scripts: str) -> measure.Sample:
        commands = [measure.Command((sys.executable, "-S", "-c", s), self.folder, dict(os.environ), "") for s in scripts]
        return measure.run(commands, self.folder / "logs")

    def test_a_client(self) -> None:
        sample = self.run_python(BURN)
        self.assertEqual(sample.codes, (0,))
        self.assertTrue(0.4 <= sample.cpu < 0.7, sample)

    def test_two_at_once(self) -> None:
        self.assertTrue(0.8 <= self.run_python(BURN, BURN).cpu < 1.4)

    def test_a_server_that_stays_behind(self) -> None:
        sample = self.run_python(SERVER)
        self.assertTrue(0.4 <= sample.cpu < 0.8, sample)
        self.assertEqual(len(measure.descendants()), 1)
        # What the server has used before is not counted again.
        self.assertLess(self.run_python("").cpu, 0.3)

    def test_memory_of_a_process(self) -> None:
        self.assertTrue(150e6 < self.run_python(MEMORY).memory < 250e6)

    def test_memory_is_not_that_of_the_bench(self) -> None:
        ballast = b"x" * 200_000_000
        self.assertLess(self.run_python("import time; time.sleep(0.05)", BURN).memory, 100e6)
        del ballast

    def test_codes_and_what_was_written(self) -> None:
        sample = self.run_python("print('a')", "import sys; sys.exit('b')")
        self.assertEqual((sample.codes, sample.logs), ((0, 1), ("a\n", "b\n")))
