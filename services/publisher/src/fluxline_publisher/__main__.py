"""`python -m fluxline_publisher`."""

from fluxline_publisher.app import main

raise SystemExit(main())
