"""`python -m fluxline_trainer`."""

from fluxline_trainer.app import main

raise SystemExit(main())
