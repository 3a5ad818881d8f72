"""The figures of /stats as Prometheus reads them (text format, version 0.0.4)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[dict[str, str], float]
"""Labels and value."""


def metrics_text(stats: Mapping[str, Any]) -> str:
    """Every figure that is there, by its family; what a session does not know is left out."""
    return "".join(_families(stats))


def _families(stats: Mapping[str, Any]) -> Iterator[str]:
    for name, key, meaning in (
        ("flowing", "flowing", "Whether pictures of the source are shown."),
        ("shown_frames_total", "shown", "Pictures that were shown, rendered or reprojected."),
        ("replaced_frames_total", "replaced", "Broken pictures, replaced by the last good one."),
        ("viewers", "viewers", "Viewers, those that are still connecting included."),
    ):
        yield _family(name, meaning, [({}, stats[key])] if key in stats else [])

    dropped = [({"stage": stage}, count) for stage, count in stats.get("dropped", {}).items()]
    yield _family("dropped_frames_total", "Frames that a newer one overtook while they waited for a stage.", dropped)

    if "quality" in stats:
        yield _family(
            "quality_level",
            "How much is left out of the computation, 0 being nothing.",
            [({}, stats["quality"]["level"])],
        )

    stages = dict(stats.get("stages_ms", {}))
    latency = _quantiles(stages.pop("latency", {}))
    of_stages = [
        ({"stage": stage, **labels}, value) for stage, ms in stages.items() for labels, value in _quantiles(ms)
    ]
    yield _family("stage_seconds", "How long a stage takes, of the newest 3600 times.", of_stages)
    yield _family("latency_seconds", "From capture to encoded, of the newest 3600 pictures.", latency)

    for name, key, meaning in (
        ("stream_fps", "fps", "Encoded pictures per second; none while nobody watches."),
        ("stream_bits_per_second", "bitrate_bps", "What is encoded."),
        ("stream_bytes_total", "encoded_bytes", "What was encoded."),
        ("stream_frames_total", "encoded_frames", "Encoded pictures."),
        ("stream_keyframes_total", "keyframes", "Encoded key frames."),
        ("stream_viewers", "viewers", "Connected viewers."),
    ):
        yield _family(name, meaning, [({"stream": each["name"]}, each[key]) for each in stats["streams"]])
    of_renditions = [
        ({"stream": each["name"], "rendition": rendition}, viewers)
        for each in stats["streams"]
        for rendition, viewers in each["renditions"].items()
    ]
    yield _family("rendition_viewers", "Viewers by codec and rung, 0 being the best one.", of_renditions)

    rejected = [({"status": str(status)}, count) for status, count in stats["rejected_offers"].items()]
    yield _family("rejected_offers_total", "Offers that were refused, by the status of the response.", rejected)


def _quantiles(ms: Mapping[str, float]) -> list[Sample]:
    """{"p50": ...} in milliseconds, as samples in seconds."""
    return [({"quantile": f"{int(percentile[1:]) / 100:g}"}, value_ms / 1000) for percentile, value_ms in ms.items()]


def _family(name: str, meaning: str, samples: Sequence[Sample]) -> str:
    if not samples:
        return ""
    kind = "counter" if name.endswith("_total") else "gauge"
    lines = [f"# HELP bodydouble_{name} {meaning}", f"# TYPE bodydouble_{name} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"bodydouble_{name}{f'{{{inner}}}' if inner else ''} {float(value)!r}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
