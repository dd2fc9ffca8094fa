"""Units: what a name stands for in base units. Factors are exact by definition (SI brochure, international yard)."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from environments.tools.arithmetic.quantity import Quantity

_LENGTH, _MASS, _TIME, _DATA = (("m", 1),), (("kg", 1),), (("s", 1),), (("B", 1),)
_AREA, _VOLUME, _SPEED = (("m", 2),), (("m", 3),), (("m", 1), ("s", -1))
_ENERGY, _POWER = (("kg", 1), ("m", 2), ("s", -2)), (("kg", 1), ("m", 2), ("s", -3))
_FORCE, _PRESSURE = (("kg", 1), ("m", 1), ("s", -2)), (("kg", 1), ("m", -1), ("s", -2))
_TEMPERATURE = (("K", 1),)

_TABLE: tuple[tuple[tuple[tuple[str, int], ...], str], ...] = (
    (_LENGTH, "m 1, meter 1, metre 1, mm 1/1000, cm 1/100, dm 1/10, km 1000, um 1/1000000, nm 1/1000000000, "
     "inch 127/5000, ft 381/1250, foot 381/1250, feet 381/1250, yd 1143/1250, yard 1143/1250, mi 201168/125, "
     "mile 201168/125, nmi 1852"),
    (_AREA, "m2 1, cm2 1/10000, mm2 1/1000000, km2 1000000, ha 10000, hectare 10000, acre 316160658/78125, "
     "ft2 145161/1562500, mi2 40468564224/15625"),
    (_VOLUME, "m3 1, cm3 1/1000000, mm3 1/1000000000, km3 1000000000, l 1/1000, L 1/1000, liter 1/1000, litre 1/1000, "
     "ml 1/1000000, mL 1/1000000, gal 473176473/125000000000"),
    (_MASS, "kg 1, g 1/1000, mg 1/1000000, t 1000, tonne 1000, lb 45359237/100000000, oz 45359237/1600000000"),
    (_TIME, "s 1, sec 1, second 1, ms 1/1000, us 1/1000000, min 60, minute 60, h 3600, hour 3600, d 86400, day 86400, "
     "week 604800, yr 31557600, year 31557600"),
    (_SPEED, "kph 5/18, mph 1397/3125, knot 463/900"),
    (_DATA, "B 1, byte 1, kB 1000, MB 1000000, GB 1000000000, TB 1000000000000, KiB 1024, MiB 1048576, GiB 1073741824, "
     "TiB 1099511627776, bit 1/8"),
    (_ENERGY, "J 1, kJ 1000, MJ 1000000, cal 523/125, kcal 4184, Wh 3600, kWh 3600000, MWh 3600000000"),
    (_POWER, "W 1, kW 1000, MW 1000000, GW 1000000000, hp 37284993579113511/50000000000000"),
    (_FORCE, "N 1, kN 1000"),
    (_PRESSURE, "Pa 1, hPa 100, kPa 1000, bar 100000, atm 101325, psi 8896443230521/1290320000"),
    (_TEMPERATURE, "K 1"),
)  # fmt: skip


def _read() -> dict[str, Quantity]:
    units = {}
    for dimension, text in _TABLE:
        for entry in text.split(", "):
            name, factor = entry.split()
            units[name] = Quantity(Fraction(factor), dimension)
    plurals = {f"{name}s": unit for name, unit in units.items() if len(name) > 3 and name.isalpha()}
    return plurals | units


UNITS: Mapping[str, Quantity] = _read()
"""By name; names tell capital letters."""
OFFSETS: Mapping[str, tuple[Fraction, Fraction]] = {
    "degC": (Fraction(1), Fraction("273.15")),
    "degF": (Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
}
"""Temperatures in kelvin: factor and offset. Only to convert from and to."""
