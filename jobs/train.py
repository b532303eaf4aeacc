"""Train on sessions of a store: `kalshi-ray train` as a job for a cluster, with the same options.

ray job submit --working-dir . -- python jobs/train.py --sessions a,b --total-timesteps 2000000
"""

from __future__ import annotations

import sys

from kalshi_ray.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
