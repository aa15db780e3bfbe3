"""How is o10 run from a checkout? The same commands as the installed `o10`."""

import sys

from o10.cli import main

if __name__ == "__main__":
    sys.exit(main())
