"""Which labels are confused, counted chip by chip."""

import numpy as np

from train.judging.co_confusion import count_confusions


def test_confusions_are_those_of_counting_chip_by_chip():
    generator = np.random.default_rng(2)
    truth = (generator.random((60, 5)) < 0.4).astype(np.uint8)
    chosen = generator.random((60, 5)) < 0.4
    found = count_confusions(truth, chosen)
    wrong, true, missed = np.zeros(5, int), np.zeros((5, 5), int), np.zeros((5, 5), int)
    for held, given in zip(truth, chosen, strict=True):
        for i in range(5):
            if given[i] and not held[i]:
                wrong[i] += 1
                for j in range(5):
                    true[i, j] += held[j]
                    missed[i, j] += held[j] and not given[j]
    assert found.wrong.tolist() == wrong.tolist()
    assert found.other_true.tolist() == true.tolist()
    assert found.other_missed.tolist() == missed.tolist()
    assert missed.any()
