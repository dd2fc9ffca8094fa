import io

import pandas as pd


def sensor_gaps(csv_text: str, minutes: float) -> list[tuple[str, str, str, float]]:
    table = pd.read_csv(io.StringIO(csv_text), dtype={"sensor": str, "time": str})
    table = table.dropna(subset=["value"]).drop_duplicates(["sensor", "time"], keep="last")
    table["at"] = pd.to_datetime(table["time"])
    gaps = []
    for sensor, readings in table.sort_values(["sensor", "at"]).groupby("sensor"):
        pairs = zip(readings.itertuples(), readings.iloc[1:].itertuples(), strict=False)
        gaps += [
            (str(sensor), before.time, after.time, round(float(after.value - before.value), 3))
            for before, after in pairs
            if (after.at - before.at).total_seconds() > minutes * 60
        ]
    return gaps
