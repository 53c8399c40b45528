"""The declarations for ctypes are those of the header."""

import ctypes
import os
import re
import unittest

from libiscp import _native

SCALARS = {
    "void": None, "bool": ctypes.c_bool, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64, "size_t": ctypes.c_size_t,
    "char*": ctypes.c_char_p, "void*": ctypes.c_void_p, "uint8_t*": ctypes.c_char_p, "iscp_uuid_t": _native.Uuid,
    "char**": ctypes.POINTER(ctypes.c_char_p), "size_t*": ctypes.POINTER(ctypes.c_size_t),
    "int32_t*": ctypes.POINTER(ctypes.c_int32), "uint32_t*": ctypes.POINTER(ctypes.c_uint32),
    "uint64_t*": ctypes.POINTER(ctypes.c_uint64),
    "uint8_t**": ctypes.POINTER(ctypes.c_void_p), "uint32_t**": ctypes.POINTER(ctypes.POINTER(ctypes.c_uint32)),
    "iscp_data_point_t**": ctypes.POINTER(ctypes.POINTER(_native.DataPoint)),
}
CALLBACKS = (
    "release_cb", "done_cb", "token_cb", "event_cb", "ack_cb", "closed_cb", "upstream_closed_cb", "stream_event_cb",
)
STRUCTURES = {
    "iscp_uuid_t": _native.Uuid, "iscp_data_point_t": _native.DataPoint, "iscp_upstream_point_t": _native.UpstreamPoint,
}


class Header:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
        self.text = " ".join(text.split())
        self.constants = {name: int(value) for name, value in re.findall(r"#define (ISCP_\w+) (-?\d+)\b", text)}
        self.numbers = dict(re.findall(r"typedef (u?int\d+_t) (iscp_\w+_t);", self.text))
        self.numbers = {name: number for number, name in re.findall(r"typedef (u?int\d+_t) (iscp_\w+);", self.text)}

    def type(self, declaration, named):
        """The ctypes type of a parameter with its name, or of a result."""
        words = re.sub(r"\b(const|struct)\b", "", declaration).replace("*", " * ").split()
        if named:
            words.pop()
        name = "".join(words)
        base = name.rstrip("*")
        if base in self.numbers:
            name = self.numbers[base] + name[len(base):]
        if name in SCALARS:
            return SCALARS[name]
        if base.startswith("iscp_") and base.endswith("_cb"):
            return getattr(_native, base[len("iscp_"):])
        if base.startswith("iscp_") and name.endswith("**"):
            return ctypes.POINTER(ctypes.c_void_p)
        if base.startswith("iscp_") and name.endswith("*"):
            return ctypes.c_void_p
        raise AssertionError(f"no type for {declaration!r}")

    def parameters(self, text):
        return [] if text.strip() == "void" else [self.type(one, True) for one in text.split(",")]

    def function(self, name):
        result, parameters = re.search(rf"ISCP_API ([^;()]*?)\b{name}\(([^;]*?)\);", self.text).groups()
        return self.type(result, False), self.parameters(parameters)

    def callback(self, name):
        return self.parameters(re.search(rf"typedef void \(\*iscp_{name}\)\(([^;]*?)\);", self.text).group(1))


class Declarations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.header = Header(os.environ["ISCP_HEADER"])

    def test_functions(self):
        for name, (result, arguments) in _native.FUNCTIONS.items():
            with self.subTest(name):
                self.assertEqual(self.header.function(name), (result, arguments))

    def test_callbacks(self):
        for name in CALLBACKS:
            with self.subTest(name):
                declared = getattr(_native, name)
                self.assertIsNone(declared._restype_)
                self.assertEqual(self.header.callback(name), list(declared._argtypes_))

    def test_constants(self):
        checked = 0
        for name, value in vars(_native).items():
            if re.fullmatch(r"[A-Z_]+", name) and isinstance(value, int):
                self.assertEqual(self.header.constants[f"ISCP_{name}"], value, name)
                checked += 1
        self.assertGreater(checked, 20)

    def test_structures(self):
        with open(os.environ["ISCP_LAYOUT"], encoding="utf-8") as file:
            layout = dict(line.split() for line in file)
        for name, structure in STRUCTURES.items():
            self.assertEqual(int(layout.pop(name)), ctypes.sizeof(structure))
            for field, _ in structure._fields_:
                self.assertEqual(int(layout.pop(f"{name}.{field}")), getattr(structure, field).offset)
        self.assertEqual(layout, {})

    def test_library_name_is_that_of_the_header(self):
        major, minor = (self.header.constants[f"ISCP_VERSION_{part}"] for part in ("MAJOR", "MINOR"))
        self.assertEqual(_native.LIBRARY, f"libiscp.so.{major}.{minor}" if major == 0 else f"libiscp.so.{major}")
