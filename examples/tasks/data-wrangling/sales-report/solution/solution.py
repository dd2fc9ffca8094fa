import io

import pandas as pd


def sales_report(csv_text: str) -> dict[str, dict[str, float]]:
    table = pd.read_csv(io.StringIO(csv_text), dtype=str, skipinitialspace=True)
    revenue = pd.to_numeric(table["units"], errors="coerce") * pd.to_numeric(table["price"], errors="coerce")
    rows = pd.DataFrame(
        {
            "month": table["date"].str.strip().str[:7],
            "region": table["region"].str.strip().str.capitalize(),
            "revenue": revenue,
        }
    ).dropna()
    report: dict[str, dict[str, float]] = {}
    for (month, region), total in rows.groupby(["month", "region"])["revenue"].sum().items():
        report.setdefault(str(month), {})[str(region)] = round(float(total), 2)
    return report
