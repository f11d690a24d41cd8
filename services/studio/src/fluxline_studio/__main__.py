"""`python -m fluxline_studio`."""

from fluxline_studio.app import main

raise SystemExit(main())
