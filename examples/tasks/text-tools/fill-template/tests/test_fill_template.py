"""Hidden from the policy."""


def error_of(candidate, template, values):
    try:
        candidate(template, values)
    except (KeyError, ValueError) as error:
        return type(error)
    return None


def test_names_are_replaced(candidate):
    assert candidate("Dear {name}, {n} new", {"name": "Ada", "n": 3}) == "Dear Ada, 3 new"
    assert candidate("", {}) == ""


def test_defaults(candidate):
    assert candidate("{who|nobody}", {}) == "nobody"
    assert candidate("{who|}", {}) == ""
    assert candidate("{who|nobody}", {"who": ""}) == ""
    assert candidate("{a|b|c}", {}) == "b|c"


def test_braces(candidate):
    assert candidate("{{}}", {}) == "{}"
    assert candidate("{{{a}}}", {"a": 1}) == "{1}"
    assert candidate("{{a}}", {"a": 1}) == "{a}"


def test_values_are_not_templates(candidate):
    assert candidate("{a}{b}", {"a": "{b}", "b": "}"}) == "{b}}"


def test_faults(candidate):
    assert error_of(candidate, "{a}", {}) is KeyError
    for template in ("{", "}", "{a", "a}", "{}", "{1a}", "{a b}", "{a{b}}", "{|x}"):
        assert error_of(candidate, template, {"a": 1, "b": 2}) is ValueError, template
    assert error_of(candidate, "{gone} {", {}) is KeyError
    assert error_of(candidate, "} {gone}", {}) is ValueError
