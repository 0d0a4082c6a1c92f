import onnxruntime

from tasks.runtime import cpu

ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd asimddp i8mm\n\nprocessor\t: 1\nFeatures\t: fp\n"


def test_only_the_flags_that_int8_depends_on_are_told_and_those_of_the_first_processor():
    assert cpu.flags(ARM) == ("asimd", "asimddp", "i8mm")
    assert cpu.flags("flags\t\t: fpu vme avx2 avx_vnni rdpid") == ("avx2", "avx_vnni")


def test_a_processor_without_a_name_is_called_by_its_architecture():
    assert cpu.model("") and cpu.model(ARM)
    assert cpu.flags("") == ()


def test_the_conditions_are_those_of_this_machine():
    found = cpu.conditions(threads=2, batch_size=32)
    assert found.cpu == cpu.model() and found.cpu_flags == cpu.flags()
    assert (found.threads, found.batch_size, found.onnxruntime) == (2, 32, onnxruntime.__version__)
