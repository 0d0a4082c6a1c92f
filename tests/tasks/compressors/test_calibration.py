import numpy as np
import pytest

from tasks.compressors.calibration import CalibrationReader


def batches_of(reader):
    return list(iter(reader.get_next, None))


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1]), (64, [64]), (65, [64, 1]), (200, [64, 64, 64, 8])])
def test_hands_out_every_row_once_in_batches_then_nothing(rows, sizes):
    values = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    reader = CalibrationReader(values)
    batches = batches_of(reader)
    assert [len(each["encoded"]) for each in batches] == sizes
    np.testing.assert_array_equal(np.concatenate([each["encoded"] for each in batches]), values)
    assert reader.get_next() is None


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1]), (64, [64]), (100, [50, 50]), (131, [43, 43, 43])])
def test_batches_of_one_size_leave_out_fewer_rows_than_there_are_batches(rows, sizes):
    reader = CalibrationReader(np.zeros((rows, 2), np.float32), alike=True)
    assert [len(each["encoded"]) for each in batches_of(reader)] == sizes


def test_token_ids_are_taken_as_they_are():
    reader = CalibrationReader(np.arange(6).reshape(2, 3), batch_rows=2)
    assert batches_of(reader)[0]["encoded"].dtype == np.int64
