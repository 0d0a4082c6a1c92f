"""What the form asks for, network by network. Imports no torch, so that a flow may read it."""

from itertools import product

from tasks.contracts.artifacts import Plan
from tasks.contracts.config import PruneConfig


def plans_of(config: PruneConfig) -> tuple[Plan, ...]:
    """Every smaller network that the form asks for: cut, zeroed, both, then students.

    >>> [plan.name for plan in plans_of(PruneConfig(ratios=(0.5,), sparsities=(0.9,), students=((16,),)))]
    ['channels-50', 'magnitude-90', 'channels-50-magnitude-90', 'student-16']
    """
    students = tuple(Plan(hidden_sizes=sizes) for sizes in config.students)
    if config.method == "magnitude":
        return *(Plan(sparsity=share) for share in config.ratios), *students
    cut = (Plan(ratio=ratio) for ratio in config.ratios)
    zeroed = (Plan(sparsity=share) for share in config.sparsities)
    both = (Plan(ratio=ratio, sparsity=share) for ratio, share in product(config.ratios, config.sparsities))
    return *cut, *zeroed, *both, *students
