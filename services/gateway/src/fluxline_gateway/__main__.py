"""`python -m fluxline_gateway`."""

from fluxline_gateway.app import main

raise SystemExit(main())
