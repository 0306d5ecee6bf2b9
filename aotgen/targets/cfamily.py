# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Spellings common to the C++ dialects: the functions of kernels/common/vmath.h and scalar.h.

One row an operation and kind of type. Signed integers wrap (the helpers compute on the unsigned type), NaN is kept by
maximum and minimum, and nothing here is undefined for any operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import InternalError, UnsupportedError
from aotgen.ir.define import LONG
from aotgen.targets.base import (
    ADD,
    BITAND,
    BITOR,
    BITXOR,
    CHOICE,
    EQUAL,
    LESS,
    MUL,
    PRIMARY,
    UNARY,
    Code,
    Fold,
)

Spelling = Callable[..., Code]


def _infix(symbol: str, prec: int, strict: bool = False) -> Spelling:
    """``a op b``. ``strict``: both operands are bracketed unless primary or unary (operators whose precedence people,
    and compilers' warnings, do not trust)."""

    def spell(a: Code, b: Code) -> Code:
        left, right = (UNARY, UNARY) if strict else (prec, prec + 1)
        return Code(f"{a.at(left)} {symbol} {b.at(right)}", prec)

    return spell


def call_of(name: str) -> Spelling:
    return lambda *args: Code(f"{name}({', '.join(a.text for a in args)})")


def _integer_call(name: str) -> Spelling:
    """A template over the integer type: a bare literal is given that type, which need not be int."""

    def spell(*args: Code) -> Code:
        return Code(
            f"{name}({', '.join(f'INT32_C({a.text})' if a.text.lstrip('-').isdigit() else a.text for a in args)})"
        )

    return spell


def _prefix(symbol: str) -> Spelling:
    return lambda a: Code(f"{symbol}{a.at(PRIMARY)}", UNARY)


def _sign(zero: str, one: str) -> Spelling:
    """Of a name; NaN gives NaN."""
    return lambda a: Code(f"{a.text} > {zero} ? {one} : {a.text} < {zero} ? -{one} : {a.text}", CHOICE)


def _shift(name: str, signed: str, unsigned: str) -> Spelling:
    """Shifts to the left of a signed type run on the unsigned one."""
    return lambda a, b: Code(
        f"static_cast<{signed}>({name}(static_cast<{unsigned}>({a.text}), static_cast<{unsigned}>({b.text})))"
    )


_COMPARE: dict[str, Spelling] = {
    "eq": _infix("==", EQUAL, True),
    "lt": _infix("<", LESS, True),
    "le": _infix("<=", LESS, True),
}
_FLOAT: dict[str, Spelling] = {
    **{
        n: call_of(f"v{n}")
        for n in """abs exp expm1 log log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh
       atanh erf sigmoid floor ceil trunc rint mod fmod pow min max""".split()
    },
    "neg": _prefix("-"),
    "add": _infix("+", ADD),
    "sub": _infix("-", ADD),
    "mul": _infix("*", MUL),
    "div": _infix("/", MUL),
    "isnan": lambda a: Code(f"{a.text} != {a.text}", EQUAL),
    **_COMPARE,
}
_INT: dict[str, Spelling] = {
    "abs": _integer_call("wabs"),
    "neg": _integer_call("wneg"),
    "add": _integer_call("wadd"),
    "sub": _integer_call("wsub"),
    "mul": _integer_call("wmul"),
    "div": _integer_call("idiv"),
    "mod": _integer_call("imod"),
    "fmod": _integer_call("ifmod"),
    "pow": _integer_call("ipow"),
    "min": _integer_call("vmin"),
    "max": _integer_call("vmax"),
    "bitnot": _prefix("~"),
    "bitand": _infix("&", BITAND, True),
    "bitor": _infix("|", BITOR, True),
    "bitxor": _infix("^", BITXOR, True),
    **_COMPARE,
}
_BOOL: dict[str, Spelling] = {
    "not": _prefix("!"),
    "and": _infix("&", BITAND, True),
    "or": _infix("|", BITOR, True),
    "xor": _infix("!=", EQUAL, True),
    "eq": _infix("==", EQUAL, True),
    "lt": _infix("<", LESS, True),
    "le": _infix("<=", LESS, True),
    "max": _infix("|", BITOR, True),
    "min": _infix("&", BITAND, True),
    "mul": _infix("&", BITAND, True),
    "add": _infix("|", BITOR, True),
}

SPELLINGS: dict[str, dict[str, Spelling]] = {
    "f32": {
        **_FLOAT,
        "sign": _sign("0.0f", "1.0f"),
        "isinf": lambda a: Code(f"vabs({a.text}) == __builtin_inff()", EQUAL),
    },
    "f64": {
        **_FLOAT,
        "sign": _sign("0.0", "1.0"),
        "isinf": lambda a: Code(f"vabs({a.text}) == __builtin_inf()", EQUAL),
    },
    "i32": {
        **_INT,
        "sign": lambda a: Code(f"({a.text} > 0) - ({a.text} < 0)", ADD),
        "shl": _shift("shl", "int32_t", "uint32_t"),
        "shr": _shift("shr", "int32_t", "int32_t"),
    },
    "i64": {
        **_INT,
        "sign": lambda a: Code(f"int64_t{{{a.text} > 0}} - int64_t{{{a.text} < 0}}", ADD),
        "shl": _shift("shl", "int64_t", "uint64_t"),
        "shr": _shift("shr", "int64_t", "int64_t"),
    },
    **{
        u: {
            **_INT,
            "sign": lambda a, c=c: Code(f"static_cast<{c}>({a.text} != 0)"),
            "shl": call_of("shl"),
            "shr": call_of("shr"),
            "abs": lambda a: a,
        }
        for u, c in (("u32", "uint32_t"), ("u64", "uint64_t"))
    },
    "bool": _BOOL,
    "string": {"eq": call_of("same_text"), "lt": call_of("text_before"), "le": call_of("text_not_after")},
    **{c: {n: _FLOAT[n] for n in ("neg", "add", "sub", "mul", "eq")} for c in ("c64", "c128")},
}
MENTIONS_TWICE = frozenset({"isnan", "sign"})  # operations whose spelling repeats the operand: it must be a name

COMPUTE_CTYPE = {
    "f32": "float",
    "f64": "double",
    "i32": "int32_t",
    "i64": "int64_t",
    "u32": "uint32_t",
    "u64": "uint64_t",
    "bool": "bool",
    "string": "aotgen_string",
    "c64": "complex64",
    "c128": "complex128",
}
_HALVES = {"f16": ("h2f", "f2h", "d2h"), "bf16": ("bf2f", "f2bf", "d2bf")}
_PARTS = {"c64": "f32", "c128": "f64"}
_SMALL = {
    "f8e4m3fn": "E4M3FN",
    "f8e5m2": "E5M2",
    "f8e4m3fnuz": "E4M3FNUZ",
    "f8e5m2fnuz": "E5M2FNUZ",
    "f8e8m0": "E8M0",
    "f6e2m3": "E2M3",
    "f6e3m2": "E3M2",
    "f4e2m1": "E2M1",
}
_HALVES |= {name: (f"load_f8<{f}>", f"store_f8<{f}>", f"store_f8<{f}>") for name, f in _SMALL.items()}
_OWN_HEADERS = (("_f8<", "common/float8.h"), ("aotgen_string", "common/string_order.h"))  # by what only they make possible


class CFamily:
    """The spelling half of a dialect. Subclasses add schedules and whatever they spell differently."""

    name = "c"
    restrict = "__restrict"
    dims_parameter = "const Dims& d"
    includes: tuple[str, ...] = ("common/scalar.h", "common/vmath.h")
    strangers = "s"  # kinds of element types that have no C type in a loop

    def ctype(self, dtype: DType) -> str:
        """C type of one stored element. Raises UnsupportedError for a type that has none here."""
        if dtype.kind in self.strangers:
            raise UnsupportedError(
                f"elements of type {dtype} inside a loop nest",
                hint="cast to a supported type at the model's boundary",
            )
        return dtype.c

    def headers(self, text: str) -> tuple[str, ...]:
        """What the printed ``text`` includes."""
        return (*self.includes, *(header for word, header in _OWN_HEADERS if word in text))

    def literal(self, value: Any, dtype: str) -> Code:
        """A constant that reads back as exactly ``value``."""
        if dtype in ("f32", "f64"):
            return _float_literal(float(value), dtype)
        if dtype == "bool":
            return Code("true" if value else "false")
        if dtype == "string":
            return Code(f"aotgen_string{{{quoted(dtypes.encode(value))}, {len(dtypes.encode(value))}}}")
        if dtype in _PARTS:
            parts = ", ".join(_float_literal(p, _PARTS[dtype]).text for p in (complex(value).real, complex(value).imag))
            return Code(f"{COMPUTE_CTYPE[dtype]}{{{parts}}}")
        v = int(value)
        if dtype == "i32":
            return Code("INT32_MIN") if v == -(1 << 31) else Code(str(v), PRIMARY if v >= 0 else UNARY)
        if dtype == "i64":
            return Code("INT64_MIN") if v == -(1 << 63) else Code(f"INT64_C({v})")
        return Code(f"{v}u") if dtype == "u32" else Code(f"UINT64_C({v})")

    def op(self, name: str, dtype: str, args: Sequence[Code]) -> Code:
        spelling = SPELLINGS[dtype].get(name)
        if spelling is None:
            raise InternalError(f"{name} on {dtype} has no spelling in {self.name}")
        return spelling(*args)

    def call(self, name: str, args: Sequence[str]) -> Code:
        return Code(f"{name}({', '.join(args)})")

    # -- conversions
    def cast(self, to: DType, source: str, arg: Code) -> Code:
        """``arg`` of compute type ``source`` rounded and saturated to storage type ``to``, as its compute type."""
        if to.is_bool:
            return Code(f"{arg.at(EQUAL + 1)} != {self.literal(0, source).text}", EQUAL)
        if to.name in _HALVES:
            return Code(f"{_HALVES[to.name][0]}({self.store_cast(to, source, arg)})")
        compute = COMPUTE_CTYPE[dtypes.compute_of(to).name]
        if to.is_float:
            self.ctype(to)
            return Code(f"static_cast<{compute}>({arg.text})")
        if to.bits < 8:
            return self._sub_byte(to, self.cast(dtypes.i32, source, arg))
        if to.bits < 32:
            return Code(f"{compute}{{{self.store_cast(to, source, arg)}}}")
        return Code(self.store_cast(to, source, arg))

    def _sub_byte(self, to: DType, arg: Code) -> Code:
        mask, top = (1 << to.bits) - 1, 1 << (to.bits - 1)
        low = Code(f"{arg.at(UNARY)} & {mask}", BITAND)
        return low if to.kind == "u" else Code(f"(({low.text}) ^ {top}) - {top}", ADD)

    def store_cast(self, storage: DType, source: str, arg: Code) -> str:
        """``cast`` as the stored bits."""
        if storage.is_bool:
            return f"static_cast<uint8_t>({self.cast(storage, source, arg).text})"
        if storage.name in _HALVES:
            _, narrow, narrow_wide = _HALVES[storage.name]
            if source in ("f32", "bool"):
                value = arg.text if source == "f32" else f"{arg.at(CHOICE + 1)} ? 1.0f : 0.0f"
                return f"{narrow}({value})"
            return f"{narrow_wide}({arg.text if source == 'f64' else f'static_cast<double>({arg.text})'})"
        if storage.is_float:
            return self.cast(storage, source, arg).text
        if storage.bits < 8:
            return f"static_cast<{storage.c}>({self.cast(storage, source, arg).text})"
        return f"cast_to<{storage.c}>({arg.text})"

    def bitcast(self, source: DType, to: DType, arg: Code) -> Code:
        """The bits of ``arg``, an element of ``source``, read as an element of ``to``, as its compute type."""
        bits = self.store(source, arg)
        if source.c == to.c:
            return self.load(to, bits)
        wide = any(t.bits >= 32 and t.kind in "fc" for t in (source, to))
        return self.load(to, f"vm::bit_cast_to<{to.c}>({bits})" if wide else f"static_cast<{to.c}>({bits})")

    def load(self, storage: DType, element: str) -> Code:
        """A stored element as its compute type."""
        self.ctype(storage)
        if storage.is_bool:
            return Code(f"{element} != 0", EQUAL)
        if storage.name in _HALVES:
            return Code(f"{_HALVES[storage.name][0]}({element})")
        if storage.is_integer and storage.bits < 8:  # the byte's high bits say nothing
            return self._sub_byte(storage, Code(f"int32_t{{{element}}}"))
        return Code(f"int32_t{{{element}}}") if storage.is_integer and storage.bits < 32 else Code(element)

    def store(self, storage: DType, value: Code) -> str:
        """A value of the compute type as the stored element."""
        self.ctype(storage)
        if storage.name in _HALVES:
            return f"{_HALVES[storage.name][1]}({value.text})"
        narrow = storage.is_bool or (storage.is_integer and storage.bits < 32)
        return f"static_cast<{storage.c}>({value.text})" if narrow else value.text

    def convert_index(self, to: str, value: Code) -> Code:
        """An index as an integer of C type ``to``."""
        return Code(f"static_cast<{to}>({value.text})")

    # -- folds
    def fold(self, kind: str, dtype: str, across: bool) -> Fold:
        """The accumulator of a reduction; ``across``: its lanes will be combined."""
        if kind in ("and", "or"):
            symbol = "&" if kind == "and" else "|"
            return Fold(
                "int",
                "1" if kind == "and" else "0",
                lambda acc, v: f"{acc} {symbol} static_cast<int>({v.text})",
                lambda acc: Code(f"{acc} != 0", EQUAL),
                symbol,
            )
        if kind == LONG:
            return Fold(
                "double",
                "0.0",
                lambda acc, v: f"{acc} + static_cast<double>({v.text})",
                lambda acc: Code(f"static_cast<float>({acc})"),
                "+",
            )
        if kind in ("sum", "add", "prod", "mul"):
            return self._arithmetic("+" if kind in ("sum", "add") else "*", dtype)
        return self._extreme(kind, dtype, across)

    def _arithmetic(self, symbol: str, dtype: str) -> Fold:
        start = 0 if symbol == "+" else 1
        prec = ADD if symbol == "+" else MUL
        if dtype[0] in "fc":
            return Fold(
                COMPUTE_CTYPE[dtype],
                self.literal(start, dtype).text,
                lambda acc, v: f"{acc} {symbol} {v.at(prec + 1)}",
                Code,
                symbol if dtype[0] == "f" else "",
            )
        if dtype == "bool":
            return self.fold("or" if symbol == "+" else "and", dtype, False)
        unsigned = "uint32_t" if dtype.endswith("32") else "uint64_t"
        back: Callable[[str], Code] = (
            Code if dtype.startswith("u") else (lambda acc: Code(f"static_cast<{COMPUTE_CTYPE[dtype]}>({acc})"))
        )
        return Fold(
            unsigned,
            str(start),
            lambda acc, v: (
                f"{acc} {symbol} " + (v.at(prec + 1) if dtype.startswith("u") else f"static_cast<{unsigned}>({v.text})")
            ),
            back,
            symbol,
        )

    def _extreme(self, kind: str, dtype: str, across: bool) -> Fold:
        if dtype == "bool":
            return self.fold("or" if kind == "max" else "and", dtype, across)
        t = dtypes.of(dtype)
        if t.is_float:
            init = self.literal(-math.inf if kind == "max" else math.inf, dtype)
        else:
            low, high = (0, (1 << t.bits) - 1) if t.kind == "u" else (-(1 << (t.bits - 1)), (1 << (t.bits - 1)) - 1)
            init = self.literal(low if kind == "max" else high, dtype)
        combine = kind if not t.is_float else ""
        return Fold(COMPUTE_CTYPE[dtype], init.text, lambda acc, v: f"v{kind}({acc}, {v.text})", Code, combine)


def quoted(data: bytes) -> str:
    """``data`` as a C string literal; bytes beyond ASCII in octal."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in data) + '"'


def _float_literal(value: float, dtype: str) -> Code:
    tail = "f" if dtype == "f32" else ""
    if math.isnan(value):
        return Code(f'__builtin_nan{tail}("")')
    if math.isinf(value):
        return Code(f"-__builtin_inf{tail}()", UNARY) if value < 0 else Code(f"__builtin_inf{tail}()")
    if dtype == "f64":
        short = repr(value)
        text = short if len(short) <= 8 else value.hex()
    else:
        text = str(dtypes.f32.numpy.type(value))
    if dtype == "f64" and not any(c in text for c in ".ex"):
        text = f"{text}.0"
    return Code(text + tail, UNARY if text.startswith("-") else PRIMARY)
