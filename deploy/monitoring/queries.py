"""A query to Prometheus as a panel of Grafana holds it."""

from typing import Any, Final

Json = dict[str, Any]
PROMETHEUS: Final = {"type": "prometheus", "uid": "${datasource}"}


def query(expr: str, legend: str = "", *, now: bool = False, table: bool = False, heat: bool = False) -> Json:
    """`legend` may name labels as {{label}}. `now`: the newest value alone; `table`: a row for each series."""
    return {
        "datasource": PROMETHEUS,
        "expr": expr,
        "legendFormat": legend or "__auto",
        "format": "table" if table else "heatmap" if heat else "time_series",
        "instant": now or table,
        "range": not (now or table),
        "exemplar": "_bucket" in expr and not (now or table),
    }


def quantile(share: float, histogram: str, *by: str, where: str = "") -> str:
    """The quantile of a histogram over the panel's interval, for each combination of the labels `by`."""
    labels = ", ".join((*by, "le"))
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({histogram}_bucket{{{where}}}[$__rate_interval])))"


def rate(counter: str, *by: str, where: str = "") -> str:
    """How many a second, for each combination of the labels `by`."""
    grouped = f"sum by ({', '.join(by)})" if by else "sum"
    return f"{grouped} (rate({counter}{{{where}}}[$__rate_interval]))"


def increase(counter: str, *by: str, where: str = "") -> str:
    """How many within the panel's interval, for each combination of the labels `by`."""
    return rate(counter, *by, where=where).replace("(rate(", "(increase(")
