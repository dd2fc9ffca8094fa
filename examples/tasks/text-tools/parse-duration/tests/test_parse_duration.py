"""Hidden from the policy."""

UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


def refuses(candidate, text):
    try:
        candidate(text)
    except ValueError:
        return True
    return False


def test_single_parts(candidate):
    for unit, seconds in UNITS.items():
        assert candidate(f"3{unit}") == 3 * seconds
        assert candidate(f"3{unit.upper()}") == 3 * seconds


def test_parts_are_added(candidate):
    assert candidate("1h30m") == 5400
    assert candidate("1w 2d 3h 4m 5s") == 604800 + 2 * 86400 + 3 * 3600 + 245
    assert candidate("  90m ") == 5400
    assert candidate("45") == 45


def test_a_minus_turns_all_of_it(candidate):
    assert candidate("-1h30m") == -5400
    assert candidate("-0") == 0


def test_what_is_no_duration_is_refused(candidate):
    for text in ("", " ", "-", "h", "1x", "1.5h", "1h1h", "30m1h", "1h 30", "1h-30m", "one hour", "1 h 2"):
        assert refuses(candidate, text), text


def test_the_result_is_an_integer(candidate):
    assert type(candidate("2m")) is int
