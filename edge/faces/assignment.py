"""Hungarian assignment of detections to tracks: the pairs with the largest total gain."""

import math
from collections.abc import Iterator, Mapping

Gains = Mapping[tuple[int, int], float]
"""Gain, above 0, of pairing left index i with right index j; impossible pairs are absent."""


def assign(gains: Gains) -> list[tuple[int, int]]:
    """Return the pairs with the largest total gain; each index is in one pair at most.

    Exact (Hungarian method with shortest augmenting paths). Each connected component of the bipartite graph is solved
    by itself, so that faces which overlap no other cost next to nothing.
    """
    if len(gains) == 1:
        return list(gains)
    pairs: list[tuple[int, int]] = []
    for group in _components(gains):
        if len(group) == 1:
            pairs += group
            continue
        left, right = sorted({i for i, _ in group}), sorted({j for _, j in group})
        transposed = len(left) > len(right)
        rows, columns = (right, left) if transposed else (left, right)
        cost = [[-gains.get((c, r) if transposed else (r, c), 0.0) for c in columns] for r in rows]
        found = ((rows[i], columns[j]) for i, j in enumerate(_least_cost(cost)))
        pairs += [pair for i, j in found if (pair := (j, i) if transposed else (i, j)) in gains]
    return sorted(pairs)


def _components(gains: Gains) -> Iterator[list[tuple[int, int]]]:
    """Yield connected components: pairs that share a left or a right index are in the same one."""
    waiting = list(gains)
    while waiting:
        group, left, right = [], {waiting[0][0]}, {waiting[0][1]}
        while joined := [pair for pair in waiting if pair[0] in left or pair[1] in right]:
            waiting = [pair for pair in waiting if pair[0] not in left and pair[1] not in right]
            group += joined
            left |= {i for i, _ in joined}
            right |= {j for _, j in joined}
        yield group


def _least_cost(cost: list[list[float]]) -> list[int]:
    """Return the column assigned to each row at the least total cost. There must be at least as many columns as rows.

    Finds one shortest augmenting path for each row, with potentials (Jonker and Volgenant, 1987).
    """
    rows, columns = len(cost), len(cost[0])
    row_potential, column_potential = [0.0] * rows, [0.0] * (columns + 1)
    # The row assigned to each column; the extra last column is where a path starts.
    owner = [-1] * (columns + 1)
    for row in range(rows):
        owner[columns] = row
        at = columns
        least = [math.inf] * columns
        came_from = [columns] * columns
        done = [False] * (columns + 1)
        while owner[at] >= 0:
            done[at] = True
            here, step, following = owner[at], math.inf, at
            for column in range(columns):
                if done[column]:
                    continue
                reduced = cost[here][column] - row_potential[here] - column_potential[column]
                if reduced < least[column]:
                    least[column], came_from[column] = reduced, at
                if least[column] < step:
                    step, following = least[column], column
            for column in range(columns + 1):
                if done[column]:
                    row_potential[owner[column]] += step
                    column_potential[column] -= step
                elif column < columns:
                    least[column] -= step
            at = following
        while at != columns:
            owner[at] = owner[came_from[at]]
            at = came_from[at]
        owner[columns] = -1
    taken = [-1] * rows
    for column in range(columns):
        if owner[column] >= 0:
            taken[owner[column]] = column
    return taken
