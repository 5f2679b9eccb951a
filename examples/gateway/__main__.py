"""`python -m examples.gateway`: one gateway on one link."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import Final

from aiohttp import web

from examples.gateway.server import Gateway
from linkcast_gateway import Views

_TOKEN: Final = "LINKCAST_GATEWAY_TOKEN"  # noqa: S105 - the variable's name

_ABOUT: Final = """\
A WebSocket gateway with a small chat page: one link of the pipeline.

The pipeline must run (make run). Start two gateways with different links, open both in a browser, make a group in one
tab, join it in another, and chat. Ctrl-C or SIGTERM: the link leaves, the sockets close, pages go on when it is back.
"""

_EXAMPLES: Final = f"""\
examples:
  python -m examples.gateway --link L1 --port 18100 --token-file gateway.token
  python -m examples.gateway --link L2 --port 18101 --token-file gateway.token --peer http://127.0.0.1:18100
  {_TOKEN}=... python -m examples.gateway --link L1
"""


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m examples.gateway",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--link", required=True, help="the link's id; each running gateway has another")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=18_100, help="port to listen on (18100)")
    parser.add_argument("--kafka", default="127.0.0.1:19092", help="brokers, by commas (127.0.0.1:19092)")
    parser.add_argument("--views", default="http://127.0.0.1:18080", help="a web view (http://127.0.0.1:18080)")
    parser.add_argument("--app", default="demo", help="the app whose users connect here (demo)")
    parser.add_argument("--address", help="where browsers reach it, if not at http://host:port")
    parser.add_argument("--peer", action="append", default=[], help="address of another gateway, shown on the page")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token-file", type=Path, help="file with the token for the web view")
    token.add_argument("--token", help=f"the token itself; others on this machine see it: prefer a file, or {_TOKEN}")
    return parser


def main() -> None:
    """Runs a gateway until told to stop."""
    parser = arguments()
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {given.link} %(levelname)s %(message)s")
    for chatty in ("aiohttp.access", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        token = given.token_file.read_text().strip() if given.token_file else given.token or os.environ.get(_TOKEN, "")
    except OSError as error:
        parser.error(f"--token-file: {error}")
    if not token:
        parser.error(f"a token for the web view is missing: --token-file, --token, or {_TOKEN}")
    address = given.address or f"http://{given.host}:{given.port}"
    gateway = Gateway(given.app, given.link, given.kafka, Views(given.views, token), address, given.peer)
    try:
        web.run_app(gateway.application(), host=given.host, port=given.port, print=None, shutdown_timeout=5)
    except OSError as error:
        parser.exit(1, f"cannot listen on {given.host}:{given.port}: {error}\n")


if __name__ == "__main__":
    main()
