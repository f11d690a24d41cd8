"""`python -m fluxline_collector`."""

from fluxline_collector.app import main

raise SystemExit(main())
