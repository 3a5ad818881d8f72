"""`realtime bench`: which of the benches is meant."""

from realtime.bench_tools.config import BenchConfig
from realtime.live.quality import QualityName
from realtime.live.source import open_source, video_file
from realtime.subject import load_subject


def run_bench(config: BenchConfig) -> None:
    """Measure, and print a table for people and a line of JSON for programs.

    Raises:
        UserError: the subject or the source cannot be opened, or something that the measurement needs is not here.
        SystemExit: with --minutes, if something grew.
    """
    subject = load_subject(config.subject)
    about = about_quality(config.quality.quality)
    setup = config.engines, config.pose, config.quality
    if config.browser:
        from realtime.bench_tools import browser

        source, _ = open_source(None, config.source, pose=config.pose)
        page = browser.bench_browser(subject, source, *setup, seconds=config.seconds)
        print(about)
        browser.show(page)
    elif config.minutes is not None:
        from realtime.bench_tools import endurance

        source, _ = open_source(None, config.source, pose=config.pose)
        result = endurance.bench_endurance(subject, source, *setup, minutes=config.minutes)
        print(about)
        endurance.show(result)
        if result.grown:
            raise SystemExit(1)
    elif config.compare:
        from realtime.bench_tools import compare

        with video_file(config.source, config.pose) as path:
            compared = compare.bench_compare(
                subject,
                path,
                config.engines,
                config.pose,
                seconds=config.seconds,
                mediapipe_python=config.mediapipe_python,
            )
        print(about)
        compare.show(compared)
    elif config.scaling:
        from realtime.bench_tools import scaling

        with video_file(config.source, config.pose) as path:
            found = scaling.bench_scaling(subject, path, config.engines, config.pose, seconds=config.seconds)
        print(about)
        scaling.show(found)
    else:
        from realtime.live import bench

        source, _ = open_source(None, config.source, pose=config.pose)
        measured = bench.bench(subject, source, *setup, seconds=config.seconds)
        print(about)
        bench.show(measured)


def about_quality(quality: QualityName) -> str:
    """What is measured, and how a session differs from that."""
    if quality == "auto":
        return "Measured with a quality that adapts to the time there is, as in `realtime run`."
    return f"Measured at {quality} quality. `realtime run` adapts its own: --quality auto."
