"""What a query of Prometheus uses, whether that exists (series, labels, their values), and which labels come out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import promql_parser as promql

SCRAPED: Final = frozenset({"service", "instance", "job"})
"""Labels that the scrape adds to every series of ours."""
Labels = frozenset[str]
_SETS: Final = ("and", "unless")


@dataclass(frozen=True)
class Series:
    """A series by its name: its labels, and the values seen of each."""

    labels: Labels
    values: Mapping[str, Labels] = field(default_factory=dict)


Catalog = Mapping[str, Series]


@dataclass
class Reading:
    """One query, read against a catalog: `problems` says what does not exist."""

    catalog: Catalog
    problems: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def labels(self, expr: Any) -> Labels:
        """The labels of what the expression answers; notes its problems."""
        read = getattr(self, f"_{type(expr).__name__}", None)
        if read is None:
            return frozenset()
        found: Labels = read(expr)
        return found

    def _VectorSelector(self, expr: promql.VectorSelector) -> Labels:
        name = str(expr.name)
        self.names.add(name)
        series = self.catalog.get(name)
        if series is None:
            self.problems.append(f"there is no series {name}")
            return frozenset()
        for matcher in expr.matchers.matchers:
            self._match(name, series, matcher)
        return series.labels

    def _match(self, name: str, series: Series, matcher: promql.Matcher) -> None:
        if matcher.name not in series.labels:
            self.problems.append(f"{name} has no label {matcher.name}")
        seen = series.values.get(matcher.name)
        if seen is not None and (lost := set(_named(matcher)) - seen):
            self.problems.append(f"{name} never has {matcher.name}={'|'.join(sorted(lost))}")

    def _MatrixSelector(self, expr: promql.MatrixSelector) -> Labels:
        return self.labels(expr.vector_selector)

    def _SubqueryExpr(self, expr: promql.SubqueryExpr) -> Labels:
        return self.labels(expr.expr)

    def _ParenExpr(self, expr: promql.ParenExpr) -> Labels:
        return self.labels(expr.expr)

    def _UnaryExpr(self, expr: promql.UnaryExpr) -> Labels:
        return self.labels(expr.expr)

    def _Call(self, expr: promql.Call) -> Labels:
        found = [self.labels(argument) for argument in expr.args]
        name = expr.func.name
        if name == "absent":
            selector = expr.args[0]
            return frozenset(m.name for m in selector.matchers.matchers if m.op == promql.MatchOp.Equal)
        if name == "histogram_quantile":
            if "le" not in found[1]:
                self.problems.append("histogram_quantile of what has no label le")
            return found[1] - {"le"}
        return frozenset().union(*found)

    def _AggregateExpr(self, expr: promql.AggregateExpr) -> Labels:
        inner = self.labels(expr.expr)
        if str(expr.op) in ("topk", "bottomk"):
            return inner
        if expr.modifier is None:
            return frozenset()
        named = frozenset(expr.modifier.labels)
        self._need(named, inner, f"{expr.op} by")
        return named if expr.modifier.type == promql.AggModifierType.By else inner - named

    def _BinaryExpr(self, expr: promql.BinaryExpr) -> Labels:
        left, right = self.labels(expr.lhs), self.labels(expr.rhs)
        matching = expr.modifier.matching if expr.modifier else None
        if matching is not None and matching.type == promql.LabelModifierType.Include:
            self._need(frozenset(matching.labels), left & right, "on")
        operator = str(expr.op)
        if operator in _SETS:
            return left
        if operator == "or":
            return left & right if left and right else left | right
        if matching is not None and matching.type == promql.LabelModifierType.Include:
            return frozenset(matching.labels)
        return left or right

    def _need(self, named: Labels, there: Labels, where: str) -> None:
        if lost := named - there:
            self.problems.append(f"{where} ({', '.join(sorted(lost))}): no such label there")


def read(query: str, catalog: Catalog) -> tuple[Labels, Reading]:
    """The labels of the query's answer, and what was found; ValueError when it is no PromQL."""
    reading = Reading(catalog)
    return reading.labels(promql.parse(query)), reading


def _named(matcher: promql.Matcher) -> Iterator[str]:
    """The values that a matcher spells out."""
    if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual):
        yield matcher.value
    elif re.fullmatch(r"[\w|-]+", matcher.value):
        yield from matcher.value.split("|")
