from tasks.compressors.plans import plans_of
from tasks.contracts.artifacts import Plan
from tasks.contracts.config import PruneConfig


def names(**fields):
    return [plan.name for plan in plans_of(PruneConfig(**fields))]


def test_channels_are_cut_zeroed_and_both():
    assert names(ratios=(0.25, 0.5), sparsities=(0.9, 0.95)) == [
        "channels-25",
        "channels-50",
        "magnitude-90",
        "magnitude-95",
        "channels-25-magnitude-90",
        "channels-25-magnitude-95",
        "channels-50-magnitude-90",
        "channels-50-magnitude-95",
    ]


def test_ratios_of_method_magnitude_are_sparsities():
    assert plans_of(PruneConfig(method="magnitude", ratios=(0.9, 0.95))) == (Plan(sparsity=0.9), Plan(sparsity=0.95))


def test_students_come_with_either_method():
    assert names(ratios=(), students=((16,), (32, 8))) == ["student-16", "student-32-8"]
    assert names(ratios=(0.5,), method="magnitude", students=((16,),)) == ["magnitude-50", "student-16"]


def test_no_two_plans_have_one_name():
    found = names(ratios=(0.25, 0.5, 0.755), sparsities=(0.25, 0.9), students=((25,), (25, 25)))
    assert len(set(found)) == len(found) == 3 + 2 + 6 + 2


def test_the_default_form_cuts_a_quarter_and_a_half():
    assert names() == ["channels-25", "channels-50"]
