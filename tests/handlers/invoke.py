"""`make invoke EVENT=api-page`: one example event, answered by its built function under Lambda's runtime."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.handlers.account import example_account
from tests.handlers.built import built_layer, function
from tests.handlers.functions import ROOT


def main() -> None:
    """Prints what the function logged, then what it returned."""
    known = sorted(path.stem for path in (ROOT / "events").glob("*-*.json"))
    parser = argparse.ArgumentParser(prog="make invoke", description=__doc__)
    parser.add_argument("event", choices=known, help="a file of events/, without its ending")
    name = parser.parse_args().event
    with tempfile.TemporaryDirectory() as directory:
        layer = built_layer(Path(directory) / "sam", lambda line: print(line, file=sys.stderr))
        with (
            example_account(Path(directory) / "world") as account,
            function(name.partition("-")[0], layer, account.url) as running,
        ):
            returned = running.invoke(account.event(name))
            print(running.log_file.read_text(encoding="utf-8"), file=sys.stderr)
            print(json.dumps(returned, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
