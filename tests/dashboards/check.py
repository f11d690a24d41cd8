"""Whether every series that rules and dashboards ask for is one that there is."""

from collections.abc import Iterable

from .catalog import complete, exposed, silent
from .promql import Catalog, read
from .shipped import queries


def problems(catalog: Catalog, unlabelled: Iterable[str] = ()) -> list[str]:
    """What is asked for and does not exist; of the series `unlabelled` only the names are known."""
    known, vague = complete(catalog), frozenset(unlabelled)
    found = []
    for query in queries():
        labels, reading = read(query.expr, known)
        unclear = bool(reading.names & vague)
        found += [f"{query}: {problem}" for problem in reading.problems if not (unclear and "no series" not in problem)]
        if lost := query.shown - labels and not unclear:
            found.append(f"{query}: shows {lost}, which its answer does not have")
    return found


def problems_with(texts: Iterable[str]) -> list[str]:
    """The same for what services answer at /metrics."""
    known = list(texts)
    return problems(exposed(known), silent(known))
