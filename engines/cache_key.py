"""What a built engine depends on, from its graph to its device's driver."""

import hashlib
from pathlib import Path

from engines.backends import cpu_name, files_of, known_backend
from engines.cache import Key


def engine_key(
    graph: Path, backend: str, precision: str, *, device: str = "", driver: str = "", options: str = ""
) -> Key:
    """What a built engine depends on; the device is this processor unless another one is named."""
    digest = hashlib.sha256()
    for file in files_of(graph, precision):
        digest.update(file.read_bytes())
    return Key(
        graph=digest.hexdigest(),
        backend=backend,
        versions=known_backend(backend).versions,
        device=device or cpu_name(),
        driver=driver,
        precision=precision,
        options=options,
    )
