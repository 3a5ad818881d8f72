"""The longer benches behind `realtime bench`: in a browser, beside the usual way, over sizes and viewers, over time."""
