"""`python -m fluxline_zipper`."""

from fluxline_zipper.app import main

raise SystemExit(main())
