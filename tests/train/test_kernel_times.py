"""What an accelerator did in a profile."""

from pathlib import Path

import jax
import jax.numpy as jnp
from jax.profiler import ProfileData

from jaxicm.train.kernel_times import TABLE, covered, describe_profile, kernel_times

PROFILE = """
planes { id: 1 name: "/host:CPU" lines { id: 1 name: "python" } }
planes {
  id: 2 name: "/device:GPU:0"
  event_metadata { key: 1 value { id: 1 name: "sm90_xmma_fprop_implicit_gemm" } }
  event_metadata { key: 2 value { id: 2 name: "loop_add_fusion" } }
  event_metadata { key: 3 value { id: 3 name: "nvjet_hsh_128x64" } }
  stat_metadata { key: 1 value { id: 1 name: "hlo_op" } }
  lines { id: 1 name: "Stream #1"
    events { metadata_id: 1 offset_ps: 0 duration_ps: 4000000 stats { metadata_id: 1 str_value: "cudnn-conv.1" } }
    events { metadata_id: 2 offset_ps: 5000000 duration_ps: 1000000 }
    events { metadata_id: 1 offset_ps: 8000000 duration_ps: 2000000 stats { metadata_id: 1 str_value: "cudnn-conv.1" } }
  }
  lines { id: 2 name: "Stream #2" events { metadata_id: 3 offset_ps: 9000000 duration_ps: 3000000 } }
  lines { id: 3 name: "Steps" events { metadata_id: 2 offset_ps: 0 duration_ps: 99000000 } }
}
"""


def test_kernels_of_all_streams_are_added_up(tmp_path: Path):
    (tmp_path / "a.xplane.pb").write_bytes(ProfileData.text_proto_to_serialized_xspace(PROFILE))
    kernels, busy_ns = kernel_times(tmp_path)
    assert [(kernel.operation or kernel.name, kernel.count, kernel.time_ns, kernel.kind) for kernel in kernels] == [
        ("cudnn-conv.1", 2, 6000, "convolution"),
        ("nvjet_hsh_128x64", 1, 3000, "product"),
        ("loop_add_fusion", 1, 1000, "other"),
    ]
    assert busy_ns == 4000 + 1000 + 4000, "where two run at once, the time counts once"
    figures = describe_profile(tmp_path, steps=1)
    times = {"busy_ms": 0.009, "convolution_ms": 0.006, "product_ms": 0.003, "other_ms": 0.001}
    assert figures == {"kernels": 4} | times
    first = (tmp_path / TABLE).read_text().splitlines()[1]
    assert first == "6.00\t2\tconvolution\tsm90_xmma_fprop_implicit_gemm\tcudnn-conv.1"


def test_a_profile_of_a_cpu_has_no_kernels(tmp_path: Path):
    with jax.profiler.trace(str(tmp_path)):
        jnp.ones(8).sum().block_until_ready()
    assert describe_profile(tmp_path, 1) == {} and not (tmp_path / TABLE).exists()
    assert kernel_times(tmp_path / "nothing") == ([], 0.0)


def test_intervals_are_joined():
    assert covered([]) == 0.0
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4.0
