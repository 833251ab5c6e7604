"""Build the site in build/site/: `make site`. SITE_URL and REPOSITORY_URL are put into it if they are set."""

import os
import sys
from typing import Final

from tests.site import Failed, build
from tests.sources import ROOT

FOLDER: Final = ROOT / "build" / "site"


def main() -> None:
    """Build it, and say where it is."""
    try:
        site = build(FOLDER, address=os.environ.get("SITE_URL"), repository=os.environ.get("REPOSITORY_URL"))
    except Failed as error:
        sys.exit(f"make site: {error}")
    sys.stdout.write(f"{site.relative_to(ROOT)}/index.html\n")


if __name__ == "__main__":
    main()
