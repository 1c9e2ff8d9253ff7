"""Where things lie. The benchmark writes into `build/` and, in full runs, into its `results/`."""

from pathlib import Path
from typing import Final

BENCH: Final = Path(__file__).resolve().parent
BACKEND: Final = BENCH.parent
TOP: Final = BACKEND.parents[1]
LOCK: Final = TOP / "requirements" / "peers.txt"
PEERS: Final = TOP / "build" / "peers"
SCRATCH: Final = TOP / "build" / "bench"
SPANS: Final = SCRATCH / "spans.json"
RESULTS: Final = BENCH / "results"
PICTURE: Final = RESULTS / "one-request.svg"
