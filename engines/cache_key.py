"""What a built engine depends on, from its graph to its device's driver."""

from pathlib import Path

from engines.backends import cpu_name, files_of, known_backend
from engines.cache import Key
from engines.files import sha256


def engine_key(
    graph: Path, backend: str, precision: str, *, device: str = "", driver: str = "", options: str = ""
) -> Key:
    """What a built engine depends on; the device is this processor unless another one is named."""
    return Key(
        graph=sha256(*files_of(graph, precision)),
        backend=backend,
        versions=known_backend(backend).versions,
        device=device or cpu_name(),
        driver=driver,
        precision=precision,
        options=options,
    )
