"""Hidden from the policy: other data of the same kind."""

HEAD = "date,region,product,units,price\n"


def test_revenue_by_month_and_region(candidate):
    text = HEAD + "2023-12-30,West,cup,2,3.00\n2023-12-31,west ,cup,1,2.50\n2024-01-01,West,cup,4,1\n"
    assert candidate(text) == {"2023-12": {"West": 8.5}, "2024-01": {"West": 4.0}}


def test_unusable_rows_are_left_out(candidate):
    text = HEAD + "2024-03-01,A,x,,2\n2024-03-01,B,x,3,?\n2024-03-02,C,x,3,2\n2024-04-01,D,x,n/a,2\n"
    assert candidate(text) == {"2024-03": {"C": 6.0}}


def test_order_and_types(candidate):
    text = "price,units,note,region,date\n1,1,,b,2024-02-01\n1,2,,a,2024-02-02\n5,1,,z,2024-01-09\n"
    report = candidate(text)
    assert list(report) == ["2024-01", "2024-02"]
    assert list(report["2024-02"].items()) == [("A", 2.0), ("B", 1.0)]
    assert all(type(value) is float for regions in report.values() for value in regions.values())


def test_rounding(candidate):
    assert candidate(HEAD + "2024-01-01,N,x,3,0.333\n") == {"2024-01": {"N": 1.0}}
    assert candidate(HEAD + "2024-01-01,N,x,1,0.1\n2024-01-01,N,x,1,0.2\n") == {"2024-01": {"N": 0.3}}


def test_no_rows(candidate):
    assert candidate(HEAD) == {}
