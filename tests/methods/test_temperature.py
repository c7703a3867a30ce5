import numpy as np
import pytest
from public_code import read

from suite.data.batching import task_chances


@pytest.mark.parametrize("temperature", ["1.0", "2.0", "10.0"])
def test_tasks_are_drawn_as_often_as_by_the_public_code(temperature):
    inputs, outputs = read("temperature_sampling")
    chances = task_chances(inputs["sizes"].tolist(), float(temperature))
    np.testing.assert_allclose(chances, outputs[temperature], rtol=1e-6)
