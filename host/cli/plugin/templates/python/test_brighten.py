import unittest
from array import array

from brighten import brighten_bytes, brighten_floats


class Brighten(unittest.TestCase):
    def test_brighter_and_never_beyond_white(self):
        self.assertEqual(list(brighten_bytes(bytes([0, 100, 200]), 1.5)), [0, 150, 255])
        self.assertEqual(list(array("f", brighten_floats(array("f", [0.5, 0.9]).tobytes(), 1.5))), [0.75, 1.0])
