"""Units: what a name stands for in base units.

Factors are exact by definition where there is a definition (the SI Brochure of 2019, the international yard and pound
of 1959, IAU 2012 for the astronomical unit); a parsec and a radian are not fractions of their bases. A month and a year
are those of the Julian calendar on the average, as in astronomy: 365.25 days.

Gallons, pints and the like are those of the US; the imperial ones have names that begin with imp_.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction

from environments.tools.arithmetic.quantity import Dimension, Quantity

_SHORT = {
    "p": -12, "n": -9, "u": -6, "µ": -6, "m": -3, "c": -2, "d": -1, "h": 2, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15,
}  # fmt: skip
_LONG = {
    "pico": -12, "nano": -9, "micro": -6, "milli": -3, "centi": -2, "deci": -1, "hecto": 2, "kilo": 3, "mega": 6,
    "giga": 9, "tera": 12, "peta": 15,
}  # fmt: skip

# "name, names = factor": `~` takes the short prefixes, `^` the long ones, `+` the short ones from k on. Long names have
# a plural, too.
_TABLE: tuple[tuple[str, str], ...] = (
    ("m", "~m ^meter ^metre = 1; inch = 0.0254; ft foot feet = 0.3048; yd yard = 0.9144; mi mile = 1609.344; "
     "nmi nautical_mile = 1852; au = 149597870700; ly light_year = 9460730472580800; angstrom Å = 1e-10"),
    ("m^2", "ha hectare = 10000; are = 100; acre = 4046.8564224; sqm = 1; sqkm = 1000000; sqft = 0.09290304; "
     "sqyd = 0.83612736; sqmi = 2589988.110336"),
    ("m^3", "~L ~l ^liter ^litre = 0.001; gal gallon = 0.003785411784; quart = 0.000946352946; pint = 0.000473176473; "
     "cup = 0.0002365882365; floz = 0.0000295735295625; tbsp tablespoon = 0.00001478676478125; "
     "tsp teaspoon = 0.00000492892159375; imp_gal imp_gallon = 0.00454609; imp_pint = 0.00056826125; "
     "imp_floz = 0.0000284130625; bbl barrel = 0.158987294928; cuft = 0.028316846592; cc = 1e-6"),
    ("kg", "~g ^gram = 0.001; t tonne = 1000; kt = 1e6; Mt = 1e9; lb lbs pound = 0.45359237; "
     "oz ounce = 0.028349523125; st stone = 6.35029318; short_ton = 907.18474; long_ton = 1016.0469088; "
     "carat = 0.0002; troy_oz = 0.0311034768; grain = 0.00006479891; Da dalton = 1.66053906892e-27"),
    ("s", "~s ^second sec = 1; min minute = 60; h hr hour = 3600; d day = 86400; week wk = 604800; month = 2629800; "
     "yr year = 31557600; decade = 315576000; century centuries = 3155760000; fortnight = 1209600"),
    ("m s^-1", "kph kmh = 5/18; mph = 0.44704; knot kn = 463/900"),
    ("m s^-2", "g0 gravity = 9.80665"),
    ("B", "+B ^byte = 1; +b +bit ^bit = 1/8; KiB kibibyte = 1024; MiB mebibyte = 1048576; GiB gibibyte = 1073741824; "
     "TiB tebibyte = 1099511627776"),
    ("B s^-1", "bps = 1/8; kbps = 125; Mbps = 125000; Gbps = 125000000"),
    ("kg m^2 s^-2", "~J ^joule = 1; ~cal ^calorie = 4.184; ~Wh = 3600; ~eV = 1.602176634e-19; BTU Btu = 1055.05585262; "
     "toe = 41868000000; erg = 1e-7; therm = 105505585.262"),
    ("kg m^2 s^-3", "~W ^watt = 1; hp horsepower = 745.69987158227022; PS = 735.49875"),
    ("kg m s^-2", "~N ^newton = 1; lbf = 4.4482216152605; kgf = 9.80665; dyn = 1e-5"),
    ("kg m^-1 s^-2", "~Pa ^pascal = 1; ~bar = 100000; atm = 101325; psi = 8896443230521/1290320000; "
     "mmHg = 133.322387415; torr = 20265/152; inHg = 3386.388640341"),
    ("s^-1", "~Hz ^hertz = 1; rpm = 1/60"),
    ("A", "~A ^ampere amp = 1"),
    ("A s", "~Ah = 3600; coulomb = 1"),
    ("A^-1 kg m^2 s^-3", "~V ^volt = 1"),
    ("A^-2 kg m^2 s^-3", "~ohm Ω = 1"),
    ("K", "~K ^kelvin = 1"),
    ("mol", "~mol ^mole = 1"),
    ("deg", "deg degree = 1; arcmin = 1/60; arcsec = 1/3600; turn = 360"),
    ("", "percent pct = 1/100; ppm = 1/1000000; dozen = 12"),
)  # fmt: skip


def _dimension(text: str) -> Dimension:
    parts = (part.partition("^") for part in text.split())
    return tuple((name, int(power or 1)) for name, _, power in parts)


def _named(name: str, factor: Fraction) -> Iterator[tuple[str, Fraction]]:
    """A name and what its prefixes and its plural make of it."""
    bare = name.lstrip("~^+")
    yield bare, factor
    prefixes = {"~": _SHORT, "^": _LONG, "+": {key: power for key, power in _SHORT.items() if power > 2}}
    made = {prefix + bare: factor * Fraction(10) ** power for prefix, power in prefixes.get(name[0], {}).items()}
    yield from made.items()
    if len(bare) > 2 and bare.isascii() and bare.islower() and bare not in ("feet", "lbs"):
        yield from ((f"{each}s", value) for each, value in {bare: factor, **made}.items())


def _read() -> dict[str, Quantity]:
    units: dict[str, Quantity] = {}
    for dimension, text in _TABLE:
        for entry in text.split("; "):
            names, _, factor = entry.partition(" = ")
            for given in names.split():
                for name, value in _named(given, Fraction(factor)):
                    units.setdefault(name, Quantity(value, _dimension(dimension)))
    length = (("m", 1),)
    for name in [name for name, unit in units.items() if unit.dimension == length and len(name) <= 4]:
        for power in (2, 3):
            units.setdefault(f"{name}{power}", units[name].power(Quantity(Fraction(power))))
    units["inches"], units["rad"] = units["inch"], Quantity(180 / math.pi, (("deg", 1),))
    units["pc"] = units["parsec"] = Quantity(648_000 / math.pi * 149_597_870_700, length)
    units["kpc"], units["Mpc"] = (Quantity(float(units["pc"].value) * factor, length) for factor in (1e3, 1e6))
    return units


UNITS: Mapping[str, Quantity] = _read()
"""By name; names tell capital letters."""
COMMON = tuple(entry.split(" =")[0].split()[-1].lstrip("~^+") for _, text in _TABLE for entry in text.split("; "))
"""One name of each, for suggestions."""
ANGLE: Dimension = (("deg", 1),)
RADIAN = UNITS["rad"]
OFFSETS: Mapping[str, tuple[Fraction, Fraction]] = {
    **dict.fromkeys(("degC", "celsius", "Celsius", "C"), (Fraction(1), Fraction("273.15"))),
    **dict.fromkeys(("degF", "fahrenheit", "Fahrenheit", "F"), (Fraction(5, 9), Fraction("459.67") * Fraction(5, 9))),
}
"""Temperatures in kelvin: factor and offset. Only to convert from and to."""
