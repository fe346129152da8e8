"""What the numbers in the README come from: the bridge beside the bare libraries, in the same run.

`python -m benchmarks` measures everything, `python -m benchmarks NAME…` some of it, `python -m benchmarks nab`
plays a real recording from plant to recommendation. Each party runs in a process of its own, on loopback.
"""
