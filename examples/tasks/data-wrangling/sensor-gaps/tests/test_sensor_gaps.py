"""Hidden from the policy: other data of the same kind."""


def table(*rows):
    return "sensor,time,value\n" + "".join(f"{row}\n" for row in rows)


def test_a_gap(candidate):
    text = table("x,2024-01-01T10:00:00,1.5", "x,2024-01-01T10:31:00,2", "x,2024-01-01T11:01:00,9")
    assert candidate(text, 30) == [("x", "2024-01-01T10:00:00", "2024-01-01T10:31:00", 0.5)]


def test_rows_in_any_order_and_without_values(candidate):
    text = table(
        "b,2024-01-02T00:00:00,3",
        "a,2024-01-01T02:00:00,1",
        "b,2024-01-01T00:00:00,4",
        "a,2024-01-01T01:00:00,",
        "a,2024-01-01T00:00:00,2",
    )
    assert candidate(text, 90) == [
        ("a", "2024-01-01T00:00:00", "2024-01-01T02:00:00", -1.0),
        ("b", "2024-01-01T00:00:00", "2024-01-02T00:00:00", -1.0),
    ]


def test_the_last_of_two_rows_counts(candidate):
    text = table(
        "a,2024-01-01T00:00:00,1", "a,2024-01-01T05:00:00,1", "a,2024-01-01T00:00:00,1.1234", "a,2024-01-01T05:00:00,"
    )
    assert candidate(text, 60) == [("a", "2024-01-01T00:00:00", "2024-01-01T05:00:00", -0.123)]


def test_no_gap(candidate):
    assert candidate(table(), 5) == []
    assert candidate(table("a,2024-01-01T00:00:00,1"), 5) == []
    assert candidate(table("a,2024-01-01T00:00:00,1", "a,2024-01-01T00:05:00,1"), 5) == []


def test_names_stay_text(candidate):
    text = table("007,2024-01-01T00:00:00,1", "007,2024-01-01T00:06:00,2")
    assert candidate(text, 5) == [("007", "2024-01-01T00:00:00", "2024-01-01T00:06:00", 1.0)]
