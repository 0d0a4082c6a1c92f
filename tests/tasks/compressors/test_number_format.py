from tasks.compressors.number_format import prepare, saturates, seven_bits


def test_weights_do_with_seven_bits_where_sums_would_overflow():
    assert saturates("AMD64", "fpu avx2")
    assert not saturates("x86_64", "fpu avx_vnni avx2")
    assert not saturates("arm64", "")


def test_who_asks_for_a_range_gets_it_on_any_cpu():
    assert seven_bits(True) is True
    assert seven_bits(False) is False


def test_a_prepared_network_is_not_prepared_again_and_the_original_stays(trained):
    network = trained[1]
    before = network.SerializeToString(deterministic=True)
    ready = prepare(network)
    assert prepare(ready) is ready
    assert network.SerializeToString(deterministic=True) == before
