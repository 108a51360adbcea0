"""The generated graphs have the counts that the README promises."""

import unittest

from graph import WIDE_DEPTH, generate


class GraphTest(unittest.TestCase):
    def test_wide(self) -> None:
        graph = generate("wide", 2000, 200)
        self.assertEqual((graph.targets, graph.packages, graph.depth()), (2000, 200, WIDE_DEPTH))
        reads = sum(len(dependencies) + 1 for dependencies in graph.dependencies) / graph.targets
        self.assertTrue(2.5 < reads < 3.5, reads)
        self.assertTrue(all(len(members) == 10 for members in graph.members()))

    def test_deep(self) -> None:
        self.assertEqual(generate("deep", 500, 50).depth(), 50)

    def test_many_inputs_is_one_action(self) -> None:
        graph = generate("many-inputs", 300, 7)
        self.assertEqual((graph.targets, graph.packages, graph.sources_each), (1, 1, 300))

    def test_a_target_reads_earlier_ones_only(self) -> None:
        for target, dependencies in enumerate(generate("wide", 300, 30).dependencies):
            self.assertTrue(all(other < target for other in dependencies))

    def test_the_seed_decides(self) -> None:
        self.assertEqual(generate("wide", 300, 30, 5), generate("wide", 300, 30, 5))
        self.assertNotEqual(generate("wide", 300, 30, 5), generate("wide", 300, 30, 6))

    def test_the_deep_edit_of_ten_thousand_targets_is_the_known_one(self) -> None:
        graph = generate("wide", 10_000, 1_000)
        self.assertAlmostEqual(graph.closure_size(graph.deep_target, 10_000), 664, delta=20)

    def test_leaves_lie_in_their_half(self) -> None:
        graph = generate("wide", 100, 20)
        for half in "ab":
            leaf = graph.leaf(half)
            self.assertEqual(graph.dependents[leaf], [])
            self.assertTrue(graph.package_name(graph.package_of(leaf)).startswith(half))

    def test_sizes_without_sense_are_refused(self) -> None:
        for arguments in (("wide", 0, 1), ("wide", 1, 0), ("round", 1, 1)):
            with self.assertRaises(ValueError):
                generate(*arguments)
