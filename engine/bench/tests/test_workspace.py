"""What a workspace says must run and must come out, against a shell that does it."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from graph import generate
from workspace import Workspace


class WorkspaceTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.workspace = Workspace(generate("wide", 40, 8), Path(folder.name) / "w")
        self.workspace.write_sources()

    def output(self, target: int) -> Path:
        return self.workspace.folder / f"t{target}.out"

    def run_all(self) -> None:
        for target in range(self.workspace.graph.targets):
            command = self.workspace.command(target, lambda other: f"t{other}.out", f"t{target}.out")
            subprocess.run(["/bin/sh", "-c", command], cwd=self.workspace.folder, check=True)

    def test_outputs_are_what_a_shell_makes(self) -> None:
        self.run_all()
        self.assertEqual(self.workspace.wrong_outputs(self.output), [])

    def test_a_wrong_and_a_missing_output_are_found(self) -> None:
        self.run_all()
        self.output(3).write_text("wrong\n")
        self.output(5).unlink()
        self.assertEqual(self.workspace.wrong_outputs(self.output), [3, 5])

    def test_an_edit_runs_the_closure(self) -> None:
        graph = self.workspace.graph
        self.run_all()
        self.workspace.edit_source(0)
        self.assertEqual(self.workspace.must_run(), graph.closure_size(0, graph.targets))
        self.assertEqual(len(self.workspace.wrong_outputs(self.output)), self.workspace.must_run())
        self.run_all()
        self.assertEqual(self.workspace.wrong_outputs(self.output), [])

    def test_a_command_edited_runs_once_and_prints_the_same(self) -> None:
        self.workspace.edit_command(0)
        self.assertEqual(self.workspace.must_run(), 1)
        self.run_all()
        self.assertEqual(self.workspace.wrong_outputs(self.output), [])

    def test_a_comment_edited_runs_nothing(self) -> None:
        self.workspace.edit_comment(0)
        self.assertEqual(self.workspace.must_run(), 0)

    def test_many_inputs_of_one_action(self) -> None:
        many = Workspace(generate("many-inputs", 50, 1), self.workspace.folder.with_name("many"))
        many.write_sources()
        many.edit_source(0)
        subprocess.run(["/bin/sh", "-c", many.command(0, str, "t0.out")], cwd=many.folder, check=True)
        self.assertEqual(many.wrong_outputs(lambda target: many.folder / "t0.out"), [])
