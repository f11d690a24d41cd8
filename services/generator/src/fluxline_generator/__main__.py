"""`python -m fluxline_generator`."""

from fluxline_generator.app import main

raise SystemExit(main())
