#!/usr/bin/env python3
"""Set Backdesk up and start its commands. Needs nothing but Python 3.11.

Any Python can read this file, so that one that is too old says so.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  Older ones get this far, and read the line.
    sys.exit("Backdesk needs Python 3.11 or newer; this is %d.%d.%d." % sys.version_info[:3])  # noqa: UP031  Python 2 knows no other way.

from apps.backend.launcher import start

if __name__ == "__main__":
    start(*sys.argv[1:])
