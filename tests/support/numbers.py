"""Numbers for property tests."""

from hypothesis import strategies as st


def floats(least: float, most: float) -> st.SearchStrategy[float]:
    """Floats without subnormal ones: an engine in the same thread makes them zero."""
    return st.floats(least, most, allow_subnormal=False)
