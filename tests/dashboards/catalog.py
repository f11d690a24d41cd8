"""The series that there are: what services expose, what rules record, what comes from programs that are not ours."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

from fluxline.contracts.catalog import CONSUMERS, STREAMS
from fluxline.contracts.errors import ErrorCategory, Stage

from .promql import SCRAPED, Catalog, Reading, Series
from .shipped import rules

_DISK: Final = frozenset({"device", "fstype", "mountpoint"})
OTHERS: Final = {
    "up": frozenset[str](),
    "node_filesystem_avail_bytes": _DISK,
    "node_filesystem_size_bytes": _DISK,
    "node_filesystem_readonly": _DISK,
    "node_cpu_seconds_total": frozenset({"cpu", "mode"}),
    "node_memory_MemAvailable_bytes": frozenset[str](),
    "node_memory_MemTotal_bytes": frozenset[str](),
    "prometheus_rule_evaluation_failures_total": frozenset({"rule_group"}),
}
"""What Prometheus itself and node-exporter tell, as far as it is used."""
WORDS: Final = {
    "stage": frozenset(stage.value for stage in Stage),
    "category": frozenset(category.value for category in ErrorCategory) | {""},
    "durable": frozenset(consumer.durable for consumer in CONSUMERS),
    "stream": frozenset(stream.name for stream in STREAMS),
}
"""All values that these labels can have."""
_ROW: Final = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)
_OF_PROCESSES: Final = ("cpu_seconds_total", "open_fds", "resident_memory_bytes", "start_time_seconds")
_KINDS: Final = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum", ""),
    "info": ("_info",),
}


def exposed(texts: Iterable[str]) -> dict[str, Series]:
    """The series of what services answer at /metrics, in Prometheus's text format."""
    labels: dict[str, set[str]] = {}
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for text in texts:
        for family in text_string_to_metric_families(text):
            for suffix in _KINDS.get(family.type, ("",)):
                labels.setdefault(family.name + suffix, set())
            for sample in family.samples:
                labels.setdefault(sample.name, set()).update(sample.labels)
                for label, value in sample.labels.items():
                    values[sample.name][label].add(value)
    buckets = {name: {"le": frozenset(seen["le"])} for name, seen in values.items() if "le" in seen}
    return {name: _ours(names, buckets.get(name, {})) for name, names in labels.items()}


def silent(texts: Iterable[str]) -> set[str]:
    """The names of families without a sample: nothing has happened yet that they would count."""
    families = [family for text in texts for family in text_string_to_metric_families(text)]
    heard = {family.name for family in families if family.samples}
    return {
        family.name + suffix
        for family in families
        if family.name not in heard
        for suffix in _KINDS.get(family.type, ("",))
    }


def documented(page: str) -> dict[str, Series]:
    """The series of docs/metrics.md, which is made from the services' own registries."""
    known = {f"process_{name}": _ours((), {}) for name in _OF_PROCESSES}
    for name, kind, labels in _ROW.findall(page):
        names = set(re.findall(r"`(\w+)`", labels))
        for suffix in _KINDS["histogram"] if kind == "histogram" else ("",):
            known[name + suffix] = _ours(names | ({"le"} if suffix == "_bucket" else set()), {})
    return known


def complete(services: Catalog) -> Catalog:
    """The same with what others tell, and with what our rules record from it."""
    known: dict[str, Series] = {**services}
    known |= {name: Series(labels | SCRAPED) for name, labels in OTHERS.items()}
    recorded = [rule for rule in rules() if "record" in rule]
    for rule in recorded:  # a rule may stand before one that it uses
        known.setdefault(rule["record"], Series(frozenset(rule.get("labels", {}))))
    for rule in recorded:
        found = Reading(known).labels(promql.parse(rule["expr"])) | rule.get("labels", {}).keys()
        known[rule["record"]] = Series(found | known[rule["record"]].labels)
    return known


def _ours(labels: Iterable[str], buckets: dict[str, frozenset[str]]) -> Series:
    words = {label: WORDS[label] for label in labels if label in WORDS}
    return Series(frozenset(labels) | SCRAPED, {**words, **buckets})
