"""Leaves out what needs helm, unless it is asked for: `make test-helm`."""

from .chart import ASKED_FOR

collect_ignore = [] if ASKED_FOR else ["test_rendered.py", "test_operation.py", "test_network.py", "test_nats.py"]
