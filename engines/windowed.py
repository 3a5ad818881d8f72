"""A graph that computes a window of its picture, as an engine of the whole picture."""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from types import MappingProxyType

from engines.ending import process_ends
from engines.engine import Box, Bytes, Engine, Size, WindowEngine


class WindowedEngine:
    """An `Engine` with one input and one output, whose runs compute the window `box`; elsewhere `outside` is put out.

    Whoever feeds it its own outputs keeps them in the whole picture, so the window may move and change its size from
    run to run. The sizes are loaded one after the other in a thread; until then there is the whole picture's. Once
    nobody has the engine any more, or the process ends, no further size is loaded.

    Args:
        whole: of the whole picture, with the input "packed".
        load: loads the same graph for windows of a size.
        sizes: of the windows, in the order of loading.
        outside: uint8 [1, h, w, c]: the output where nothing is computed.
    """

    def __init__(
        self, whole: Engine, load: Callable[[Size], WindowEngine], sizes: Sequence[Size], outside: Bytes
    ) -> None:
        ((name, self._whole_output),) = whole.outputs.items()
        self._packed, self._output = whole.inputs["packed"].copy(), outside.copy()
        self.inputs = MappingProxyType({"packed": self._packed})
        self.outputs = MappingProxyType({name: self._output})
        self._whole, self._outside, self._last = whole, outside, (slice(0, 0), slice(0, 0))
        _, height, width, _ = self._packed.shape
        self.whole_box: Box = slice(0, height), slice(0, width)
        """Of the whole picture."""
        self.box = self.whole_box
        """What the next run computes: rows and columns of one of `sizes`."""
        self._loading: dict[Size, Future[WindowEngine]] = {size: Future() for size in sizes}
        unwanted = threading.Event()
        weakref.finalize(self, unwanted.set)
        threading.Thread(target=_load_all, args=(load, self._loading, unwanted), name="windows").start()

    @property
    def sizes(self) -> list[Size]:
        """Those loaded so far, and the whole picture's."""
        loaded = [size for size, loading in self._loading.items() if loading.done() and not loading.cancelled()]
        return [*loaded, (self.whole_box[0].stop, self.whole_box[1].stop)]

    def wait(self) -> None:
        """Wait until all sizes are loaded."""
        wait(self._loading.values())

    def run(self) -> None:
        """Compute `outputs` from `inputs`; what went wrong when the size was loaded is raised here."""
        rows, columns = self.box
        if self.box == self.whole_box:
            engine, output = self._whole, self._whole_output
        else:
            window = self._loading[rows.stop - rows.start, columns.stop - columns.start].result()
            (output,) = window.outputs.values()
            if self.box != self._last:
                window.place(rows.start, columns.start)
            engine = window
        engine.inputs["packed"][...] = self._packed[:, rows, columns]
        engine.run()
        if self.box != self._last:
            self._output[...] = self._outside
        self._output[:, rows, columns] = output
        self._last = self.box


def _load_all(
    load: Callable[[Size], WindowEngine], loading: Mapping[Size, Future[WindowEngine]], unwanted: threading.Event
) -> None:
    """The body of a thread that the end of the process waits for."""
    for size, future in loading.items():
        if unwanted.is_set() or process_ends():
            future.cancel()
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(load(size))
        except BaseException as error:  # noqa: BLE001 - handed over to `run`, which raises it
            future.set_exception(error)
