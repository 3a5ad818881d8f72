"""The face stage: which frames the heads that it is trained on come from."""

import itertools

from trainer.training.face import CHAIN_FRAMES, spread_chains


def test_no_more_heads_are_rendered_than_a_short_training_sees_from_all_of_the_footage() -> None:
    long = range(18_000)
    assert [frame for chain in spread_chains(long, len(long)) for frame in chain] == [*long]
    few = spread_chains(long, 4 * CHAIN_FRAMES - 1)
    assert [len(chain) for chain in few] == 4 * [CHAIN_FRAMES]
    assert few[0][0] == 0
    assert few[-1][-1] == long[-1]
    assert max(after[0] - before[0] for before, after in itertools.pairwise(few)) <= 6_000
    assert spread_chains(range(50), 10) == [range(50)]
    assert len(spread_chains(long, 1)) == 2
