"""`python -m radiogen` is the same program as `radiogen`."""

from __future__ import annotations

from radiogen.cli.main import main

if __name__ == "__main__":
    main()
